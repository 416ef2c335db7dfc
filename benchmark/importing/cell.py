"""Leaves a record of answers that were given elsewhere, as a run leaves one of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

from pydantic import BaseModel

import benchmark
from benchmark.config import Layers, RunConfig
from benchmark.cost.facts import Cost
from benchmark.errors import RunError, UserError
from benchmark.importing.checks import USER
from benchmark.importing.judge import Judge
from benchmark.importing.predictions import (
    TARGET_HASH,
    Predictions,
    check_asked,
    check_targets,
)
from benchmark.protocols import Method
from benchmark.records import identity
from benchmark.records.results import NewerRecordError, Row, RunRecord, read_record, row_of
from benchmark.registry import load
from benchmark.runs.plan import Cell, World
from benchmark.runs.planning import open_world
from benchmark.runs.recording import make_record, write_cell
from benchmark.system.folders import in_place
from benchmark.tables import Tables
from benchmark.types import FitReport

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,59}")
_UNKNOWN = "unknown: imported"


class _NoSettings(BaseModel):
    """What is known of the settings of a model that was not run here."""


def _not_run() -> Method:
    raise RunError("an imported model cannot be run")


def check_name(name: str, tables: Tables) -> None:
    """Checks what an imported model is to be called.

    Raises:
        UserError: It cannot be, or a method is called so.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"--name {name!r}: up to 60 letters, digits and _ . + - are allowed")
    if name in tables.methods:
        raise UserError(f"--name {name!r}: a method is called so; give the model another name")


def import_predictions(
    predictions: Predictions,
    name: str,
    target_hash: str | None,
    config: RunConfig,
    layers: Layers,
    tables: Tables,
    command: str,
) -> Row:
    """Judges answers and leaves record and examples; what was imported before is read.

    Args:
        predictions: The answers.
        name: What the model is called.
        target_hash: Which targets somebody says that they answer; None = the file says it.
        config: What they answer; one task, one seed, no methods.
        layers: The settings.
        tables: What can be named.
        command: What the user typed.

    Raises:
        UserError: They do not answer what is asked.
    """
    task = config.task[0]
    world = open_world(config, tables, layers, None, command)
    if task not in world.tasks:
        raise UserError(f"{task} cannot be asked on {config.dataset}: {world.unfit[task]}")
    check_targets(predictions, target_hash, world.splits[task].target_hash)
    ranks = tables.tasks[task].needs == "CandidateRanker"
    seen = {"seen": world.seen} if ranks else {}
    check_asked(predictions, {"task": task, "split": world.split_name, "part": world.part, **seen})
    cell = _cell(predictions, name, config, layers, tables, world)
    if not config.force and cell.record.exists():
        try:
            return row_of(read_record(cell.record), cell.record)
        except NewerRecordError as error:
            raise UserError(f"{error}, or import it again with --force") from None
        except UserError:
            pass  # half-written: import it again
    record = _judge(predictions, cell, tables, world)
    return row_of(record, cell.record)


def _judge(predictions: Predictions, cell: Cell, tables: Tables, world: World) -> RunRecord:
    target = tables.tasks[cell.task_name].answers
    if not target:
        raise UserError(f"answers to {cell.task_name} cannot be imported")
    judge = cast("Judge", load(target))
    found = judge.judge(
        world.tasks[cell.task_name],
        predictions.frame,
        cell.split,
        world.dataset,
        world.seen,
        world.part,
    )
    notes = [f"imported from {predictions.path.name}: what fitting and answers cost is unknown"]
    unread = _unread(predictions.frame.columns, judge)
    if unread:
        notes.append(f"columns that are not read: {', '.join(unread)}")
    task = world.tasks[cell.task_name]
    report = FitReport((), parameters=0, notes=tuple(notes))
    nothing = Cost(failed="imported: nothing was run here")
    record = make_record(cell, world, task, None, report, 0.0, found, 0, nothing)
    record = record.model_copy(
        update={
            "imported": predictions.identity,
            "cost": nothing,
            "budget": {**record.budget, "text": _UNKNOWN},
        }
    )
    cell.folder.parent.mkdir(parents=True, exist_ok=True)
    with in_place(cell.folder) as folder:
        write_cell(folder, record, found)
    return record


def _unread(columns: Sequence[str], judge: Judge) -> list[str]:
    return [name for name in columns if name not in (USER, TARGET_HASH, *judge.columns)]


def _cell(
    predictions: Predictions,
    name: str,
    config: RunConfig,
    layers: Layers,
    tables: Tables,
    world: World,
) -> Cell:
    """The cell that a run would have made, had it fitted the model."""
    task, seed = config.task[0], config.seeds[0]
    split, settings = world.splits[task], layers.resolve(tables, task)
    config_hash = identity.stable_hash(
        {
            "package": benchmark.__version__,
            "dataset": world.dataset.fingerprint,
            "split": [world.split_name, dict(world.split_settings), split.train.fingerprint],
            "targets": split.target_hash,
            "part": world.part,
            "seen": world.seen,
            "task": [task, world.tasks[task].version, settings.model_dump(mode="json")],
            "imported": [name, predictions.sha256],
            "seed": seed,
            "preset": world.preset,
        }
    )
    folder = f"{config.dataset}-{task}-{name}-s{seed}-{config_hash[:8]}".replace("/", "-")
    return Cell(
        task=lambda: world.tasks[task],
        method=_not_run,
        task_name=task,
        method_name=name,
        task_settings=settings,
        method_settings=_NoSettings(),
        changes={},
        task_changes=dict(layers.changes(tables, task)),
        seed=seed,
        uses_llm=False,
        config_hash=config_hash,
        folder=config.out / folder,
        split=split,
        trained_on=split.train,
    )
