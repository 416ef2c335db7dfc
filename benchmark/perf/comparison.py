"""What a side-by-side measurement says, and how it is written down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from benchmark.system.durable import whole_file
from benchmark.system.host import describe_host, package_versions, python_version, source_state


@dataclass(frozen=True)
class Comparison:
    """Two implementations measured on one machine, one after the other.

    Attributes:
        ours: Our cost, in `unit`; None where we did not get there.
        theirs: The other's cost, in `unit`.
        unit: For example `seconds`.
        details: Whatever a reader needs to judge the two numbers.
    """

    ours: float | None
    theirs: float
    unit: str
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """How many times cheaper ours is; 0 where we did not get there."""
        return 0.0 if self.ours is None else self.theirs / self.ours


def write(name: str, comparison: Comparison, folder: Path, threads: int) -> Path:
    """Writes `<folder>/<name>.json` in one piece."""
    path = folder / f"{name}.json"
    facts = {
        "name": name,
        "ours": comparison.ours,
        "theirs": comparison.theirs,
        "ratio": comparison.ratio,
        "unit": comparison.unit,
        "host": describe_host(threads, "cpu"),
        "versions": {"python": python_version(), **package_versions()},
        "source": source_state(),
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "details": dict(comparison.details),
    }
    with whole_file(path) as fresh:
        fresh.write_text(json.dumps(facts, indent=2) + "\n")
    return path
