"""What a probe found: its schema, and the file beside the record. Free of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from benchmark.errors import UserError
from benchmark.records.results import Measure
from benchmark.system.durable import alone_in, whole_file

REPORT = "probe.json"
FIGURE = "probe"
SCHEMA_VERSION = 1
METRIC = "recall@10"
NLL = "nll"
"""Mean negative log-likelihood of the targets in nats, where a method has a distribution."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Loss(_Part):
    """A metric under a probe, and what was lost to it.

    Attributes:
        value: Mean over users.
        worse_by: How much worse than unchanged, over the same users: positive where the recall
            fell or the negative log-likelihood rose.
        low: Lower end of the 95% bootstrap interval of `worse_by`.
        high: Its upper end.
    """

    value: float
    worse_by: float
    low: float
    high: float


class ProbeRow(_Part):
    """One probe: its numbers, or why there are none.

    Attributes:
        probe: Its name.
        about: What was done, one line.
        trained: Whether a model was fitted for it.
        metrics: What became of the ranking.
        perplexity: That of held-out text, by what was asked, where the probe measures it.
        na: Why it does not apply.
        error: What went wrong.
        record: Record of the model fitted for it.
    """

    probe: str
    about: str
    trained: bool = False
    metrics: dict[str, Loss] = {}
    perplexity: dict[str, Measure] = {}
    na: str = ""
    error: str = ""
    record: str = ""


class ProbeReport(_Part):
    """All probes of one run.

    Attributes:
        schema_version: Of this file.
        record: The record of the run.
        config_hash: Its hash.
        dataset: Its data set.
        dataset_hash: SHA-256 of the data.
        task: Its task.
        method: Its method.
        seed: Its seed.
        preset: Its preset.
        part: Which targets were asked for.
        seen: Whether items that a user has met are ranked.
        examples: How many users.
        probe_seed: Seed of what the probes drew.
        unchanged: Metrics without any change, asked again.
        reproduced: Whether these are the record's; None where the record is of another part.
        notes: What a reader must know.
        rows: The probes.
        host: Where it ran.
        python: Its Python.
        versions: Its packages.
        git: Its source.
        created: When.
        command: What the user typed.
    """

    schema_version: int = SCHEMA_VERSION
    record: str
    config_hash: str
    dataset: str
    dataset_hash: str
    task: str
    method: str
    seed: int
    preset: str
    part: str
    seen: str
    examples: int
    probe_seed: int
    unchanged: dict[str, float]
    reproduced: bool | None
    notes: tuple[str, ...]
    rows: tuple[ProbeRow, ...]
    host: dict[str, Any]
    python: str
    versions: dict[str, str]
    git: dict[str, Any] | None
    created: str
    command: str


def write_report(report: ProbeReport, folder: Path) -> Path:
    """Writes the report beside the record, in one step.

    Raises:
        UserError: It cannot be written there.
    """
    target = folder / REPORT
    try:
        with alone_in(folder), whole_file(target) as fresh:
            fresh.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from None
    return target
