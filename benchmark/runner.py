"""Runs every cell of a run: plans, skips what is finished, and keeps going when one fails."""

from __future__ import annotations

import contextlib
import errno
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from filelock import FileLock, Timeout

import benchmark
from benchmark import config as configs
from benchmark import host, identity, results
from benchmark.cell import run_cell
from benchmark.data.dataset import Dataset
from benchmark.data.splits import Split
from benchmark.errors import RunError, UserError
from benchmark.home import stages_folder
from benchmark.plan import Cell, World, build
from benchmark.progress import RunProgress, duration
from benchmark.results import Row
from benchmark.tables import Tables, why_unavailable
from benchmark.tasks.next_item import resolve_seen

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


class StopError(Exception):
    """Nothing that follows can work either; the message says why."""


def run(
    config: configs.RunConfig, tables: Tables, progress: RunProgress, command: str = ""
) -> list[Row]:
    """Runs all cells of a run, task by task, seed by seed, method by method.

    Returns:
        One row a cell: its record, why it does not apply, or what went wrong.

    Raises:
        UserError: Wrong input; nothing has run.
        KeyboardInterrupt: Interrupted; finished cells are on disk.
    """
    layers = configs.read_layers(config, tables)
    llm_facts = identity.llm_identity(config.llm)
    # All settings are checked before anything is loaded, so that a typo costs no time.
    for name in (*config.task, *configs.chosen_methods(config, tables)):
        if name in config.task or not why_unavailable(tables.methods[name]):
            layers.resolve(tables, name)
    _check_writable(config.out)
    world = _world(config, tables, llm_facts, command)
    rows: list[Row] = []
    stopped = ""
    for row, cell in _plan(config, tables, layers, world):
        if cell is not None and stopped:
            row = row.model_copy(update={"error": f"not run: {stopped}"})
        elif cell is not None:
            try:
                row = _settle(row, cell, world, progress, config.force)
            except StopError as reason:
                stopped = str(reason)
                row = row.model_copy(update={"error": stopped})
        rows.append(row)
    return rows


def _world(
    config: configs.RunConfig, tables: Tables, llm_facts: dict[str, str] | None, command: str
) -> World:
    entry = tables.datasets[config.dataset]
    reason = why_unavailable(entry)
    if reason:
        raise UserError(f"data set {config.dataset!r} is not available: {reason}")
    dataset = cast("Callable[[], Dataset]", entry.load())()
    split = cast("Callable[[Dataset], Split]", tables.splits[config.split].load())(dataset)
    return World(
        dataset=dataset,
        split=split,
        split_name=config.split,
        seen=resolve_seen(config.seen, dataset),
        part=config.part,
        preset=config.preset,
        llm=config.llm,
        llm_facts=llm_facts,
        cache=stages_folder(),
        threads=config.threads or host.default_threads(),
        command=command,
    )


def _plan(
    config: configs.RunConfig, tables: Tables, layers: configs.Layers, world: World
) -> Iterator[tuple[Row, Cell | None]]:
    """Every asked-for cell, in order; None where there is nothing to run."""
    for task in config.task:
        for seed in config.seeds:
            for method in configs.chosen_methods(config, tables):
                row = Row(
                    dataset=config.dataset,
                    task=task,
                    method=method,
                    seed=seed,
                    preset=config.preset,
                )
                entry, need = tables.methods[method], tables.tasks[task].needs
                reason = why_unavailable(entry)
                if need not in entry.capabilities:
                    reason = f"{task} needs {need}, which {method} does not have"
                if reason:
                    yield row.model_copy(update={"na": reason}), None
                else:
                    yield row, make_cell(task, method, seed, config, tables, layers, world)


def make_cell(
    task: str,
    method: str,
    seed: int,
    config: configs.RunConfig,
    tables: Tables,
    layers: configs.Layers,
    world: World,
) -> Cell:
    """Resolves one cell and gives it its folder."""
    task_entry, method_entry = tables.tasks[task], tables.methods[method]
    task_settings = layers.resolve(tables, task)
    method_settings = layers.resolve(tables, method)
    task_type = task_entry.load()
    version = getattr(task_type, "version", "")
    config_hash = identity.stable_hash(
        {
            "package": benchmark.__version__,
            "dataset": world.dataset.fingerprint,
            "split": world.split_name,
            "targets": world.split.target_hash,
            "part": world.part,
            "seen": world.seen,
            "task": [task, version, task_settings.model_dump(mode="json")],
            "method": [method, method_settings.model_dump(mode="json")],
            "llm": world.llm_facts if method_entry.uses_llm else None,
            "seed": seed,
            "preset": world.preset,
        }
    )
    name = f"{config.dataset}-{task}-{method.replace('/', '-')}-s{seed}-{config_hash[:8]}"
    return Cell(
        task=lambda: build(task_type, task_settings),
        method=lambda: build(method_entry.load(), method_settings),
        task_name=task,
        method_name=method,
        task_settings=task_settings,
        method_settings=method_settings,
        changes=dict(layers.changes(tables, method)),
        task_changes=dict(layers.changes(tables, task)),
        seed=seed,
        uses_llm=method_entry.uses_llm,
        config_hash=config_hash,
        folder=config.out / name,
    )


def _settle(row: Row, cell: Cell, world: World, progress: RunProgress, force: bool) -> Row:
    """The row of one cell: read where it is finished, run where it is not."""
    progress.begin(cell.title)
    try:
        with _locked(cell, progress):
            finished = None if force else _finished(cell, progress)
            if finished is not None:
                progress.finish("finished before, skipped (--force runs it again)")
                return results.row_of(finished, cell.record)
            record = run_cell(cell, world, progress)
            progress.finish(
                f"done in {duration(record.fit.wall_seconds + record.evaluation_seconds)}"
            )
            return results.row_of(record, cell.record)
    except (KeyboardInterrupt, UserError):
        raise
    except BaseException as error:
        if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt):
            # Lightning answers an interrupt by leaving the process.
            raise KeyboardInterrupt from None
        if not isinstance(error, Exception | SystemExit):
            raise
        reason = explain(error)
        progress.finish(f"failed: {reason}")
        log = _write_log(cell)
        if disk_is_full(error):
            raise StopError(reason) from None
        return row.model_copy(update={"error": reason, "log": log})


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, says that nothing more can be written.

    Libraries written in Rust (polars, safetensors) report it in the text of errors of their own.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            return True
        if any(f"os error {number}" in str(error) for number in FULL_DISK):
            return True
        error = error.__cause__ or error.__context__
    return False


def explain(error: BaseException) -> str:
    """One line about an error."""
    message = " ".join(str(error).split())
    if disk_is_full(error):
        return (
            "the disk is full; finished cells are kept: free some space and give the same "
            "command again"
        )
    if isinstance(error, MemoryError) or "can't allocate memory" in message:
        return f"out of memory{': ' if message else ''}{message[:200]}"
    if isinstance(error, FloatingPointError):
        return message or "a number became NaN or infinite"
    if isinstance(error, UserError | RunError):
        return message
    return f"{type(error).__name__}: {message[:300]}" if message else type(error).__name__


def _finished(cell: Cell, progress: RunProgress) -> results.RunRecord | None:
    if not cell.record.exists():
        return None
    try:
        return results.read_record(cell.record)
    except UserError as error:
        progress.note(f"runs again: {error}")
        return None


@contextlib.contextmanager
def _locked(cell: Cell, progress: RunProgress) -> Iterator[None]:
    """Holds the lock of a cell, so that two calls at once do not run it twice."""
    folder = cell.folder.parent / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{cell.folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.note("another call is at this cell; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _write_log(cell: Cell) -> Path | None:
    """The traceback of the error at hand, beside where the record would be."""
    log = cell.folder / "error.log"
    try:
        cell.folder.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError:
        return None
    return log


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UserError(
            f"--out {out} cannot be written: {error.strerror or error}; name another folder"
        ) from None
