"""Made-up contestants: which users each seed gets right is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from benchmark.evidence.contestants import Group, groups_of
from benchmark.records.results import EXAMPLES, Row, row_of
from tests.records import make_record, write_record


def finished(folder: Path, method: str, hits: np.ndarray, seed: int = 0, *,
             columns: dict | None = None, users: list | None = None, **changes) -> Row:  # fmt: skip
    """A finished row of `next_item`, whose recall@1 is given user by user."""
    record = make_record(method, seed, **changes)
    mean = float(np.mean(hits))
    record = record.model_copy(
        update={"metrics": {"recall@1": mean}, "intervals": {}, "examples": len(hits)}
    )
    own = folder / f"{method}-s{seed}"
    path = write_record(own, record)
    named = users or [f"u{number:05}" for number in range(len(hits))]
    frame = pl.DataFrame(
        {"user": named, "recall@1": np.asarray(hits, dtype=float), **(columns or {})}
    )
    frame.sample(fraction=1.0, shuffle=True, seed=seed).write_parquet(own / EXAMPLES)
    return row_of(record, path)


def group_of(*rows: Row) -> Group:
    """The one group of some rows."""
    (group,) = groups_of(rows)
    return group
