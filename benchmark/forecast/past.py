"""What has run: seconds and arithmetic of stages, and seconds of all else. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.records.results import RunRecord, find_records, read_record

Machine = tuple[str, int, str]
"""Processor (or GPU), threads and accelerator: seconds of one say little of another's."""


@dataclass(frozen=True)
class PastStage:
    """One training stage that has run.

    Attributes:
        machine: What it ran on.
        method: Whose it was.
        name: Its own.
        steps: Optimizer steps, at least 1.
        flops: Arithmetic of all of them, more than 0.
        seconds: What they took, more than 0.
    """

    machine: Machine
    method: str
    name: str
    steps: int
    flops: float
    seconds: float


@dataclass(frozen=True)
class PastCell:
    """What of a finished cell is no stage: building, looks, judging.

    Attributes:
        machine: What it ran on.
        dataset: What it was about.
        task: What was asked.
        method: Who answered.
        users: How many were asked about.
        rest_seconds: All seconds but those of stages that were trained here.
        counted: Whether no stage of it had steps, so that nothing was trained.
    """

    machine: Machine
    dataset: str
    task: str
    method: str
    users: int
    rest_seconds: float
    counted: bool


@dataclass(frozen=True)
class Past:
    """Everything under a folder that tells what things take."""

    stages: Sequence[PastStage]
    cells: Sequence[PastCell]


def machine_of(host: dict[str, Any]) -> Machine:
    """What seconds depend on, of what a record says of its host."""
    threads = host.get("threads")
    return (
        str(host.get("gpu") or host.get("cpu") or "unknown"),
        threads if isinstance(threads, int) else 0,
        str(host.get("accelerator", "cpu")),
    )


def records_under(folder: Path) -> list[RunRecord]:
    """Every record that can be read; others tell nothing."""
    records = []
    for path in find_records([folder]) if folder.is_dir() else ():
        try:
            records.append(read_record(path))
        except UserError:
            continue
    return records


def read_past(records: Iterable[RunRecord]) -> Past:
    """What records tell; a stage that several of them share counts once."""
    stages: dict[PastStage, None] = {}
    known: set[tuple[str, float, float]] = set()
    cells = []
    for record in records:
        if record.imported is not None:
            continue
        machine, fit = machine_of(record.host), record.fit
        own = [stage for stage in fit.stages if not stage.reused]
        for stage in sorted(fit.stages, key=lambda stage: stage.reused):
            mark = (stage.name, stage.seconds, stage.flops)
            if stage.steps and stage.flops > 0 and stage.seconds > 0 and mark not in known:
                known.add(mark)
                past = PastStage(
                    machine, record.method.name, stage.name, stage.steps, stage.flops, stage.seconds
                )
                stages[past] = None
        trained = sum(stage.seconds for stage in own if stage.steps)
        cells.append(
            PastCell(
                machine=machine,
                dataset=record.dataset.name,
                task=record.task.name,
                method=record.method.name,
                users=record.examples,
                rest_seconds=max(0.0, fit.wall_seconds + record.evaluation_seconds - trained),
                counted=not any(stage.steps for stage in fit.stages),
            )
        )
    return Past(tuple(stages), tuple(cells))
