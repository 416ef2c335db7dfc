"""Runs every cell of a run: plans, skips what is finished, and keeps going when one fails."""

from __future__ import annotations

import contextlib
import io
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from benchmark import config as configs
from benchmark.data.store.seal import DataChangedError
from benchmark.display.durations import duration
from benchmark.display.progress import PlainProgress, RunProgress
from benchmark.errors import GOES_ON, RunError, UserError
from benchmark.records import identity, results
from benchmark.records.example_files import read_stored
from benchmark.records.results import Row
from benchmark.runs.cell import discard_unfinished, run_cell
from benchmark.runs.failures import disk_is_full, explain
from benchmark.runs.plan import Cell, World
from benchmark.runs.planning import open_world, planned_cells
from benchmark.system import ranks
from benchmark.system.durable import try_writing, whole_file
from benchmark.system.folders import recover
from benchmark.system.launching import joined
from benchmark.system.locking import locked
from benchmark.system.stopping import was_stopped
from benchmark.tables import Tables, why_unavailable
from benchmark.tuning.applied import check_tuned
from benchmark.variants import Variant

_DONE = " done"
"""Behind a call's name in the mark of a cell that it forced."""


class KeptError(RunError):
    """What is there is not to be overwritten; the message says how it could be."""


class StopError(Exception):
    """Nothing that follows can work either; the message says why."""


class Settling(Protocol):
    """Who settles the cells of a run: this process, one after the other, or workers."""

    def __call__(
        self,
        cells: Sequence[tuple[Row, Cell]],
        world: World,
        config: configs.RunConfig,
        progress: RunProgress,
    ) -> Mapping[str, Row]:
        """The row of every cell, by its configuration's hash.

        Args:
            cells: Different ones, each with what its row says before anything is known.
            world: What they share.
            config: The run that they are of.
            progress: Is told how far each is.

        Raises:
            UserError: A whole run's settings do not fit its data.
        """
        ...


def settle_in_turn(
    cells: Sequence[tuple[Row, Cell]],
    world: World,
    config: configs.RunConfig,
    progress: RunProgress,
) -> dict[str, Row]:
    """See `Settling`: in this process, one after the other."""
    settled: dict[str, Row] = {}
    stopped = ""
    for row, cell in cells:
        if stopped:
            settled[cell.config_hash] = not_run(row, stopped)
            continue
        try:
            settled[cell.config_hash] = settle(row, cell, world, progress, config.force)
        except StopError as reason:
            stopped = str(reason)
            settled[cell.config_hash] = row.model_copy(update={"error": stopped})
    return settled


def not_run(row: Row, stopped: str) -> Row:
    """The row of a cell that would have come after what stopped the run."""
    return row.model_copy(update={"error": f"not run: {stopped}"})


def run(
    config: configs.RunConfig,
    tables: Tables,
    progress: RunProgress,
    command: str = "",
    variants: Sequence[Variant] | None = None,
    settling: Settling = settle_in_turn,
) -> list[Row]:
    """Runs all cells of a run, task by task, seed by seed, method by method.

    Args:
        config: What to run.
        tables: What can be named.
        progress: Is told how far each cell is.
        command: What the user typed.
        variants: The rows of a task and seed; the chosen methods as they are where None. Of
            variants with equal settings one runs and the others show its numbers.
        settling: Who runs the cells.

    Returns:
        One row a cell: its record, why it does not apply, or what went wrong.

    Raises:
        UserError: Wrong input; nothing has run.
        KeyboardInterrupt: Interrupted; finished cells are on disk.
    """
    variants, layers, llm_facts = checked(config, tables, variants)
    check_writable(config.out)
    joined(config)
    if not ranks.first():
        progress = PlainProgress(io.StringIO())
    world = open_world(config, tables, layers, llm_facts, command)
    hashes = {name: split.target_hash for name, split in world.splits.items()}
    check_tuned(config, layers, tables, hashes)
    planned = list(planned_cells(config, tables, layers, world, variants))
    different: dict[str, tuple[Row, Cell]] = {}
    for row, cell in planned:
        if cell is not None:
            different.setdefault(cell.config_hash, (row, cell))
    settled = settling(list(different.values()), world, config, progress)
    helped = not ranks.first()
    ranks.leave()
    if helped:  # what follows a run is for process zero
        raise SystemExit(0)
    return [
        row if cell is None else settled[cell.config_hash].model_copy(update={"axes": row.axes})
        for row, cell in planned
    ]


def checked(
    config: configs.RunConfig, tables: Tables, variants: Sequence[Variant] | None
) -> tuple[Sequence[Variant], configs.Layers, dict[str, str] | None]:
    """The variants of a run, their settings and its language model, see `identity.llm_identity`.

    All is checked before anything is loaded.

    Raises:
        UserError: Wrong input, so that a typo costs no time.
    """
    if variants is None:
        variants = [Variant(name) for name in configs.chosen_methods(config, tables)]
    layers = configs.read_layers(config, tables, {s for own in variants for s in own.sections})
    llm_facts = identity.llm_identity(config.llm)
    for name in (config.split, *config.task, *configs.chosen_methods(config, tables)):
        if name not in tables.methods or not why_unavailable(tables.methods[name]):
            layers.resolve(tables, name)
            encoder = None if name not in tables.methods else layers.encoder(tables, name)
            if encoder is not None:
                layers.resolve(tables, encoder)
    return variants, layers, llm_facts


def settle(
    row: Row, cell: Cell, world: World, progress: RunProgress, force: bool, *, call: str = ""
) -> Row:
    """The row of one cell: read where it is finished, run where it is not.

    Args:
        row: What it says before anything is known.
        cell: The cell.
        world: What it shares with others.
        progress: Is told how far it is.
        force: Whether it is run all the same, from its beginning.
        call: Who asks, where the same call may ask again: it goes on with what it forced
            itself, and does nothing twice.
    """
    if was_stopped():  # and a library said nothing of it
        raise KeyboardInterrupt
    progress.begin(world.title_of(cell))
    try:
        waiting = "another call is at this cell; waiting for it"
        with _held(cell, progress, waiting):
            finished = ranks.by_first(lambda: _found(cell, progress, force, call))
            if ranks.agreed(finished is not None):
                progress.finish("finished before, skipped (--force runs it again)")
                return row if finished is None else row_of(finished, cell)
            record = run_cell(cell, world, progress)
            if record is None:
                return row
            if force and call:
                _write_mark(cell, call + _DONE)
            progress.finish(
                f"done in {duration(record.fit.wall_seconds + record.evaluation_seconds)}"
            )
            return row_of(record, cell)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if was_stopped():  # and a library made something else of it
            raise KeyboardInterrupt from None
        if isinstance(error, UserError) and not cell.axes:
            raise  # of a whole run that is the user's error; of one value of an axis, its row's
        if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt):
            # Lightning answers an interrupt by leaving the process.
            raise KeyboardInterrupt from None
        if not isinstance(error, Exception | SystemExit):
            raise
        reason = explain(error)
        if not ranks.failed_in_all():
            raise RunError(
                f"one of the processes of {cell.title} failed ({reason}); {GOES_ON}"
            ) from error
        # What process zero met decides: others may only have heard of it.
        stops = isinstance(error, DataChangedError) or disk_is_full(error)
        reason, stops = ranks.agreed([reason, stops])
        progress.finish(f"failed: {reason}")
        kept = isinstance(error, KeptError | DataChangedError) or not ranks.first()
        log = None if kept else _write_log(cell)
        if stops:
            raise StopError(reason) from None
        return row.model_copy(update={"error": reason, "log": log})


@contextlib.contextmanager
def _held(cell: Cell, progress: RunProgress, waiting: str) -> Iterator[None]:
    """Holds the lock of a cell, process zero for all of them."""
    with contextlib.ExitStack() as held:
        if ranks.first():
            folder = cell.folder.parent
            held.enter_context(locked(folder, cell.folder.name, progress.note, waiting))
        yield


def _found(cell: Cell, progress: RunProgress, force: bool, call: str) -> results.RunRecord | None:
    """The record of a cell that need not run; what it began is forgotten where it begins anew."""
    recover(cell.folder)
    mark = _mark(cell)
    before = mark.read_text() if force and call and mark.exists() else ""
    finished = finished_record(cell, progress, force and before != call + _DONE)
    if finished is not None or (force and not (call and before == call)):
        discard_unfinished(cell)
    if force and call and finished is None:
        _write_mark(cell, call)
    return finished


def _mark(cell: Cell) -> Path:
    """Says which call has begun a cell by force, and whether that was done."""
    return cell.folder.parent / ".locks" / f"{cell.folder.name}.call"


def _write_mark(cell: Cell, text: str) -> None:
    with whole_file(_mark(cell)) as file:
        file.write_text(text)


def row_of(record: results.RunRecord, cell: Cell) -> Row:
    """The row of a finished cell, by the name that this run gives it, whoever made the record."""
    return results.row_of(record, cell.record).model_copy(update={"axes": dict(cell.axes)})


def to_run(cell: Cell, progress: RunProgress, force: bool) -> bool:
    """Whether a cell has to run: not where its record can be read, or is kept all the same."""
    try:
        return finished_record(cell, progress, force) is None
    except KeptError:
        return False


def finished_record(cell: Cell, progress: RunProgress, force: bool) -> results.RunRecord | None:
    """The record of a cell that has run before; None where the cell is to run.

    Raises:
        KeptError: It is of a newer version, and is not to be overwritten.
    """
    if not cell.record.exists():
        return None
    try:
        record = results.read_record(cell.record)
        if cell.record.with_name(results.EXAMPLES).exists():  # who deleted them wanted the room
            read_stored(cell.record)
        return None if force else record
    except results.NewerRecordError as error:
        if not force:
            raise KeptError(f"{error}, or overwrite it with --force") from None
        progress.note(f"overwritten: {error}")
        return None
    except UserError as error:
        progress.note(f"runs again: {error}")
        return None


def error_log(cell: Cell) -> Path:
    """Where the traceback of a cell that failed is kept."""
    return cell.folder / "error.log"


def _write_log(cell: Cell) -> Path | None:
    """The traceback of the error at hand, beside where the record would be."""
    log = error_log(cell)
    try:
        cell.folder.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError:
        return None
    return log


def check_writable(out: Path) -> None:
    """Raises `UserError` for a folder of results that cannot be written."""
    try:
        try_writing(out)
    except OSError as error:
        raise UserError(
            f"--out {out} cannot be written: {error.strerror or error}; name another folder"
        ) from None
