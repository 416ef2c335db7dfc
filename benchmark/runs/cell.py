"""One cell: build a method, fit it, judge it, and leave a record behind."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.cost.answers import answer_cost
from benchmark.cost.bills import with_bills
from benchmark.cost.facts import Cost
from benchmark.data.division import Split
from benchmark.display.progress import RunProgress
from benchmark.errors import RunError
from benchmark.protocols import Checked, FitContext, Method, Saveable, Shared
from benchmark.records import results
from benchmark.runs.failures import explain, out_of_memory
from benchmark.runs.plan import Cell, Task, World
from benchmark.runs.recording import make_record, write_cell
from benchmark.runs.smaller_batches import Heard, Smaller, halved, release_memory
from benchmark.system import host, ranks
from benchmark.system.durable import whole_file
from benchmark.system.folders import in_place
from benchmark.types import FitReport, Progress

_MEMORY = "out of memory"


def run_cell(cell: Cell, world: World, progress: RunProgress) -> results.RunRecord | None:
    """Fits and evaluates one cell, and puts its folder in place in one step.

    Returns:
        Its record; None in a process that only helps.
    """
    ranks.by_first(world.check_data)
    host.reset_peak_memory()
    task = cell.task()
    clock = _Clock(unfinished_folder(cell))
    fitted = fit_in_memory(cell, world, task, progress, clock)
    method, report = fitted.method, fitted.report
    evaluation = task.evaluate(
        method, cell.split, world.dataset, world.seen, world.part, progress, cell.method_name
    )
    peak = ranks.largest(host.peak_memory_bytes())

    def finish() -> results.RunRecord:
        cost = _measured(cell, world, task, method, progress)
        # What another process took to make a stage stands in that stage's own seconds.
        fitting = clock.at_least(report) - sum(stage.waited_seconds for stage in report.stages)
        record = make_record(cell, world, task, method, report, fitting, evaluation, peak, cost)
        record = record.model_copy(update={"budget": {**record.budget, **fitted.budget}})
        world.check_data()
        with in_place(cell.folder) as folder:
            write_cell(folder, record, evaluation)
            if world.keep_models and isinstance(method, Saveable):
                (folder / results.MODEL).mkdir()
                method.save(folder / results.MODEL)
        discard_unfinished(cell)
        return record

    return ranks.by_first(finish)


@dataclass(frozen=True)
class Fitted:
    """A fitted method.

    Attributes:
        method: It.
        report: What fitting it took.
        budget: What a record's budget has to say beside.
    """

    method: Any
    report: FitReport
    budget: Mapping[str, Any] = field(default_factory=dict)


def fit_in_memory(
    cell: Cell, world: World, task: Task, progress: RunProgress, clock: _Clock
) -> Fitted:
    """Fits a cell, and where memory does not suffice once more with half the batch.

    Raises:
        RunError: Nor does it suffice for that.
    """
    folder, heard = unfinished_folder(cell), Heard(progress)
    smaller = Smaller.read(folder, cell)
    if not smaller.changes:
        try:
            return Fitted(*fit_cell(cell, world, task, heard, clock, folder))
        except Exception as error:
            # Where one of several processes failed alone, the others are in the midst of something.
            again = out_of_memory(error) and ranks.failed_in_all(_MEMORY)
            smaller = halved(cell, heard) if again else Smaller({})
            if not smaller.changes:
                raise
        # Here, no longer inside: the error holds on to what was in memory when it was raised.
        ranks.by_first(lambda: smaller.write(folder))
        release_memory()
    where = f"in stage {heard.last}" if heard.last else "when it was run before"
    progress.note(f"out of memory {where}; tries {smaller.told} once")
    try:
        method, report = fit_cell(smaller.applied(cell), world, task, heard, clock, folder)
    except Exception as error:
        if not out_of_memory(error):
            raise
        if ranks.first():
            discard_unfinished(cell)  # the next call begins with what it is asked for
        raise RunError(f"out of memory, with {smaller.told} too; set still less") from error
    note = f"out of memory at first; fitted with {smaller.told} so that a step learns from as much"
    return Fitted(method, replace(report, notes=(*report.notes, note)), smaller.budget)


def fit_cell(
    cell: Cell,
    world: World,
    task: Task,
    heard: Heard,
    clock: AbstractContextManager[Any],
    checkpoints: Path | None,
) -> tuple[Method, FitReport]:
    """Builds a cell's method and what stands in its encoder slot, and fits it.

    Args:
        cell: What to fit.
        world: What it shares with the other cells.
        task: Validates.
        heard: Is told how far it is.
        clock: Is open while it fits.
        checkpoints: See `FitContext`.
    """
    seed_everything(cell.seed, world.threads)
    method, train = cell.method(), cell.trained_on
    # Building may draw random numbers or not, depending on what was imported before.
    seed_everything(cell.seed, world.threads)
    context = replace(make_context(cell, world, task, heard), checkpoints=checkpoints)
    if isinstance(method, Checked):
        method.check(train, context)
        seed_everything(cell.seed, world.threads)
    with clock:
        if cell.encoder is not None:
            heard.in_slot = True
            built = cell.encoder.build(*context.for_sharing(train))
            heard.in_slot = False
            context = replace(context, encoder=built)
            seed_everything(cell.seed, world.threads)  # what the cache had drew nothing
        return method, method.fit(train, context)


def _measured(cell: Cell, world: World, task: Task, method: object, progress: RunProgress) -> Cost:
    """What answers cost; nothing where that cannot be measured, for what came out matters more."""
    progress.stage("measure the cost of answers")
    try:
        asking = task.asking(cell.split, world.seen, world.part)
        return with_bills(
            answer_cost(method, asking, world.cost),
            method,
            asking,
            outliner=cell.outliner,
            settings=cell.method_settings,
            encoder=cell.encoder,
            data=cell.trained_on,
        )
    except Exception as error:  # A method may fail at a batch that nobody has asked it before.
        reason = explain(error)
        progress.note(f"the cost of answers could not be measured: {reason}")
        return Cost(failed=reason)


def unfinished_folder(cell: Cell) -> Path:
    """Where a cell keeps what it needs to go on after an interrupt; hidden from readers."""
    return cell.folder.parent / ".unfinished" / cell.folder.name


def discard_unfinished(cell: Cell) -> None:
    """Forgets what a cell began."""
    folder = unfinished_folder(cell)
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # other cells' are there, or nothing is
        folder.parent.rmdir()


class _Clock:
    """Seconds spent in a block, with those of earlier calls that it interrupted.

    Args:
        folder: Keeps them where it exists, which it does once there is something to go on from.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "seconds"
        self.seconds = 0.0
        self._goes_on = folder.exists()
        with contextlib.suppress(OSError, ValueError):
            self.seconds = float(self._file.read_text())

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.seconds += time.perf_counter() - self._began
        if not ranks.first():
            return
        if self._file.parent.exists():  # else there is nothing to go on from
            with contextlib.suppress(OSError), whole_file(self._file) as fresh:
                fresh.write_text(str(self.seconds))

    def at_least(self, report: FitReport) -> float:
        """The seconds; where a call before was killed, what its checkpoints know of training."""
        own = sum(stage.seconds for stage in report.stages if not stage.reused)
        return max(self.seconds, own) if self._goes_on else self.seconds


def make_context(cell: Cell, world: World, task: Task, progress: Progress) -> FitContext:
    """What the method of a cell gets beside the data."""
    shared = _shared(world.shared, world) if world.shared is not None and cell.shares else None
    several = cell.serves_all
    asked = list(world.tasks.values()) if several else [task]
    goals = world.shared_goals if several else world.goals
    return FitContext(
        seed=cell.seed,
        cache=world.cache,
        validate=_together(asked, world) if several else task.validator(cell.split, world.seen),
        progress=progress,
        validation=" ".join(_validation(own, world) for own in asked),
        llm=world.llm if cell.uses_llm else None,
        accelerator=world.accelerator,
        goals=tuple(goals[own.name] for own in asked),
        watch=TOGETHER if several else task.watch,
        shared=shared,
    )


TOGETHER = "mean of the tasks"


def _together(tasks: Sequence[Task], world: World) -> Callable[[Any], Mapping[str, float]]:
    """Validation of a fit for several tasks: each one's values, and the mean of the watched."""
    validators = [(task, task.validator(world.splits[task.name], world.seen)) for task in tasks]

    def validate(method: Any) -> Mapping[str, float]:
        values, watched = {}, []
        for task, ask in validators:
            own = ask(method)
            watched.append(own[task.watch])
            values.update({f"{task.name} {name}": value for name, value in own.items()})
        return {**values, TOGETHER: sum(watched) / len(watched)}

    return validate


def _shared(split: Split, world: World) -> Shared:
    task = world.next_item
    return Shared(split.train, task.validator(split, world.seen), _validation(task, world, split))


def _validation(task: Task, world: World, split: Split | None = None) -> str:
    """Changes with what a task's validator looks at."""
    split = world.splits[task.name] if split is None else split
    settings = task.settings.model_dump_json()
    return f"{split.target_hash}/{world.seen}/{task.name}/{task.version}/{settings}"


def seed_everything(seed: int, threads: int) -> None:
    """Seeds Python, NumPy and torch, and fixes what else numbers can depend on."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Deterministic kernels; where an operator has none, it runs all the same. The other function
    # for this, use_deterministic_algorithms, also imports the compiler, which takes seconds.
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
