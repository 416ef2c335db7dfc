"""The cells of a run with what each would take, and what of it is done."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.config import RunConfig
from benchmark.display.progress import PlainProgress, RunProgress
from benchmark.errors import UserError
from benchmark.forecast.calibration import Calibration
from benchmark.forecast.past import machine_of, read_past, records_under
from benchmark.forecast.rehearsing import (
    CACHED,
    NEW,
    Stage,
    StageAhead,
    begun_folder,
    open_stage,
    too_large,
)
from benchmark.records.results import Row
from benchmark.runs.failures import explain
from benchmark.runs.plan import Cell, World
from benchmark.runs.planning import open_world, planned_cells
from benchmark.runs.runner import KeptError, checked, finished_record
from benchmark.system import host
from benchmark.tables import Tables
from benchmark.tuning.applied import check_tuned
from benchmark.variants import Variant

DONE, BEGUN, TO_DO, NONE, WRONG, AGAIN = "done", "begun", "to do", "n/a", "error", "the same"
_UNHEARD = "its training is not rehearsed, and no record tells what it takes"
_NOTHING = "nothing that has run: no record tells what these cells take, and no step can be timed"


@dataclass(frozen=True)
class Ahead:
    """One cell.

    Attributes:
        row: Which it is.
        state: `done`, `begun` (an earlier call left checkpoints), `to do`, `n/a`, `error`, or `the
            same` as a cell before it.
        stages: What it trains and finds, in order; of a finished cell what its record says.
        flops: Arithmetic of what it trains itself; None = unknown.
        seconds: Of the whole cell; None = unknown.
        left_flops: What is left of these.
        left_seconds: What is left of these.
        judged: Whether what building, looks and judging take is among the seconds.
        note: What else is to be said, one line.
    """

    row: Row
    state: str
    stages: Sequence[StageAhead] = ()
    flops: float | None = 0.0
    seconds: float | None = 0.0
    left_flops: float | None = 0.0
    left_seconds: float | None = 0.0
    judged: bool = True
    note: str = ""

    @property
    def title(self) -> str:
        """What it is called."""
        axes = "".join(f" {axis}={value}" for axis, value in self.row.axes.items())
        return f"{self.row.method}{axes} seed {self.row.seed} of {self.row.task}"

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        row = self.row
        return {
            "dataset": row.dataset,
            "task": row.task,
            "method": row.method,
            "axes": row.axes,
            "seed": row.seed,
            "preset": row.preset,
            "state": self.state,
            "flops": self.flops,
            "seconds": self.seconds,
            "left_flops": self.left_flops,
            "left_seconds": self.left_seconds,
            "judging_included": self.judged,
            "stages": [
                {
                    "name": stage.name,
                    "state": stage.state,
                    "steps": stage.steps,
                    "begun_steps": stage.begun,
                    "flops": stage.flops,
                }
                for stage in self.stages
            ],
            "note": self.note,
        }


@dataclass(frozen=True)
class Forecast:
    """All cells, and what their estimates rest on."""

    cells: Sequence[Ahead]
    calibrated_on: str
    totals: dict[str, Any] = field(default_factory=dict)


def forecast(
    config: RunConfig,
    tables: Tables,
    progress: RunProgress,
    variants: Sequence[Variant] | None = None,
) -> Forecast:
    """What a run would take; nothing is trained, and nothing is left on the disk.

    Args:
        config: What would run.
        tables: What can be named.
        progress: Is told which cell is looked at.
        variants: As for `benchmark.runs.runner.run`.

    Raises:
        UserError: What a run would raise before it runs.
    """
    if config.devices * config.num_nodes * config.micro_batches > 1:
        raise UserError(
            "--dry-run counts for one device, whose stages in the cache are its own: leave out "
            "--devices, --num-nodes and --micro-batches, under which the FLOPs are the same"
        )
    variants, layers, llm_facts = checked(config, tables, variants)
    world = open_world(config, tables, layers, llm_facts, "")
    hashes = {name: split.target_hash for name, split in world.splits.items()}
    check_tuned(config, layers, tables, hashes)
    here = machine_of(host.describe_host(world.threads, world.accelerator))
    calibration = Calibration(read_past(records_under(config.out)), here)
    cells: list[Ahead] = []
    known: dict[str, Ahead] = {}
    with open_stage() as stage:
        for row, cell in planned_cells(config, tables, layers, world, variants):
            if cell is None:
                cells.append(Ahead(row, NONE if row.na else WRONG, note=row.na or row.error))
                continue
            before = known.get(cell.config_hash)
            if before is not None:
                cells.append(Ahead(row, AGAIN, note=f"as {before.title}"))
                continue
            ahead = _finished(row, cell, config.force)
            if ahead is None:
                progress.begin(f"looks at {cell.title}")
                begun = begun_folder(cell, config.force)
                rehearsed = stage if cell.in_stages else None
                ahead = _ahead(row, cell, world, calibration, rehearsed, begun)
            known[cell.config_hash] = ahead
            cells.append(ahead)
    summed = totals(cells)
    nothing = summed["unknown"] == summed["all"]["cells"]  # not even steps that could be timed
    return Forecast(cells, _NOTHING if nothing else calibration.text, summed)


def totals(cells: Sequence[Ahead]) -> dict[str, Any]:
    """Sums over cells, those that are unknown counted and left out."""
    counted = [cell for cell in cells if cell.state in (DONE, BEGUN, TO_DO)]
    left = [cell for cell in counted if cell.state != DONE]
    return {
        "all": {
            "cells": len(counted),
            "flops": sum(cell.flops or 0.0 for cell in counted),
            "seconds": sum(cell.seconds or 0.0 for cell in counted),
        },
        "left": {
            "cells": len(left),
            "flops": sum(cell.left_flops or 0.0 for cell in left),
            "seconds": sum(cell.left_seconds or 0.0 for cell in left),
        },
        "unknown": sum(cell.seconds is None for cell in counted),
    }


def _finished(row: Row, cell: Cell, force: bool) -> Ahead | None:
    """A cell that is finished, or that only a newer version can read; None where it is to run."""
    if force:
        return None
    try:
        record = finished_record(cell, PlainProgress(io.StringIO()), force)
    except KeptError as error:
        return Ahead(row, WRONG, note=str(error))
    if record is None:
        return None
    stages = [
        StageAhead(
            own.name, CACHED if own.reused else NEW, own.steps, own.steps, own.flops, own.seconds
        )
        for own in record.fit.stages
    ]
    flops = sum(own.flops for own in stages if own.state == NEW)
    seconds = record.fit.wall_seconds + record.evaluation_seconds
    return Ahead(row, DONE, stages, flops, seconds)


def _ahead(
    row: Row,
    cell: Cell,
    world: World,
    calibration: Calibration,
    stage: Stage | None,
    begun: Path | None,
) -> Ahead:
    """A cell that is to run."""
    state = TO_DO if begun is None else BEGUN
    examples = getattr(cell.split, world.part)
    rest = calibration.rest_seconds(row.dataset, row.task, row.method, len(examples))
    if stage is None:
        if rest is None or not calibration.counts(row.method):
            return _unknown(row, state, _UNHEARD)
        return Ahead(row, state, (), 0.0, rest, 0.0, rest)
    reason = too_large(cell, world)
    if reason:
        return _unknown(row, state, reason)
    try:
        stages = stage.stages(cell, world, begun)
    except UserError as error:
        if not cell.axes:
            raise
        return Ahead(row, WRONG, note=str(error))
    except Exception as error:  # What fails here may work in a run, on a larger machine, say.
        return _unknown(row, state, f"not rehearsed: {explain(error)}")
    own = [part for part in stages if part.state == NEW]
    seconds = [_seconds(row.method, part, calibration) for part in own]
    early = any(part.may_stop for part in own)
    return Ahead(
        row,
        state,
        stages,
        flops=sum(part.flops for part in own),
        seconds=sum(seconds) + (rest or 0.0),
        left_flops=sum(part.left * part.flops for part in own),
        left_seconds=sum(part.left * s for part, s in zip(own, seconds, strict=True)) + (rest or 0),
        judged=rest is not None,
        note="at most: it may stop early" if early else "",
    )


def _unknown(row: Row, state: str, note: str) -> Ahead:
    return Ahead(row, state, (), None, None, None, None, note=note)


def _seconds(method: str, stage: StageAhead, calibration: Calibration) -> float:
    """By what has run; where nothing has, by the steps that were timed."""
    known = None
    if stage.steps:
        known = calibration.seconds(method, stage.name, stage.steps, stage.flops)
    return stage.measured_seconds if known is None else known
