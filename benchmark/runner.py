"""Runs every cell of a run: plans, skips what is finished, and keeps going when one fails."""

from __future__ import annotations

import contextlib
import errno
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

from filelock import FileLock, Timeout

import benchmark
from benchmark import config as configs
from benchmark import host, identity, results
from benchmark.cell import discard_unfinished, run_cell
from benchmark.data.dataset import Dataset
from benchmark.data.splits import Split
from benchmark.encoder_slot import choose_encoder, missing_encoder
from benchmark.errors import RunError, UserError
from benchmark.home import stages_folder
from benchmark.plan import Cell, World, build
from benchmark.progress import RunProgress, duration
from benchmark.results import Row
from benchmark.settings import flatten
from benchmark.tables import Tables, why_unavailable
from benchmark.tasks.next_item import resolve_seen
from benchmark.variants import Variant

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


class StopError(Exception):
    """Nothing that follows can work either; the message says why."""


def run(
    config: configs.RunConfig,
    tables: Tables,
    progress: RunProgress,
    command: str = "",
    variants: Sequence[Variant] | None = None,
) -> list[Row]:
    """Runs all cells of a run, task by task, seed by seed, method by method.

    Args:
        config: What to run.
        tables: What can be named.
        progress: Is told how far each cell is.
        command: What the user typed.
        variants: The rows of a task and seed; the chosen methods as they are where None. Of
            variants with equal settings one runs and the others show its numbers.

    Returns:
        One row a cell: its record, why it does not apply, or what went wrong.

    Raises:
        UserError: Wrong input; nothing has run.
        KeyboardInterrupt: Interrupted; finished cells are on disk.
    """
    if variants is None:
        variants = [Variant(name) for name in configs.chosen_methods(config, tables)]
    layers = configs.read_layers(config, tables, {s for own in variants for s in own.sections})
    llm_facts = identity.llm_identity(config.llm)
    # All settings are checked before anything is loaded, so that a typo costs no time.
    for name in (*config.task, *configs.chosen_methods(config, tables)):
        if name in config.task or not why_unavailable(tables.methods[name]):
            layers.resolve(tables, name)
            encoder = None if name in config.task else layers.encoder(tables, name)
            if encoder is not None:
                layers.resolve(tables, encoder)
    _check_writable(config.out)
    world = open_world(config, tables, llm_facts, command)
    rows: list[Row] = []
    settled: dict[str, Row] = {}
    stopped = ""
    for row, cell in _plan(config, tables, layers, world, variants):
        if cell is not None and cell.config_hash in settled:
            row = settled[cell.config_hash].model_copy(update={"axes": row.axes})
        elif cell is not None and stopped:
            row = row.model_copy(update={"error": f"not run: {stopped}"})
        elif cell is not None:
            try:
                row = _settle(row, cell, world, progress, config.force)
            except StopError as reason:
                stopped = str(reason)
                row = row.model_copy(update={"error": stopped})
            settled[cell.config_hash] = row
        rows.append(row)
    return rows


def open_world(
    config: configs.RunConfig, tables: Tables, llm_facts: dict[str, str] | None, command: str
) -> World:
    """Loads and splits the data of a run.

    Raises:
        UserError: The data set is unknown or not available here.
    """
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
        keep_models=config.keep_models,
    )


def _plan(
    config: configs.RunConfig,
    tables: Tables,
    layers: configs.Layers,
    world: World,
    variants: Sequence[Variant],
) -> Iterator[tuple[Row, Cell | None]]:
    """Every asked-for cell, in order; None where there is nothing to run."""
    for task in config.task:
        for seed in config.seeds:
            for variant in variants:
                method = variant.method
                row = Row(
                    dataset=config.dataset,
                    task=task,
                    method=method,
                    seed=seed,
                    preset=config.preset,
                    axes=dict(variant.axes),
                )
                entry, need = tables.methods[method], tables.tasks[task].needs
                reason = why_unavailable(entry) or _lacking(variant, world)
                if need not in entry.capabilities:
                    reason = f"{task} needs {need}, which {method} does not have"
                if reason:
                    yield row.model_copy(update={"na": reason}), None
                    continue
                try:
                    cell = make_cell(task, variant, seed, config, tables, layers, world)
                except UserError as error:
                    if not variant.axes:
                        raise
                    yield row.model_copy(update={"error": str(error)}), None
                    continue
                missing = missing_encoder(cell.encoder, tables)
                if missing:
                    yield row.model_copy(update={"error": missing}), None
                else:
                    yield row, cell


def _lacking(variant: Variant, world: World) -> str:
    """Why a variant cannot be shown on this data set, "" where it can."""
    names = world.dataset.events.schema.names
    missing = [name for name in variant.features if name not in names]
    if not missing:
        return ""
    return (
        f"the data set {world.dataset.name} has no feature {', '.join(missing)}; it has "
        f"{', '.join(names)}"
    )


def make_cell(
    task: str,
    variant: Variant,
    seed: int,
    config: configs.RunConfig,
    tables: Tables,
    layers: configs.Layers,
    world: World,
) -> Cell:
    """Resolves one cell and gives it its folder."""
    method, layers = variant.method, variant.over(layers)
    task_entry, method_entry = tables.tasks[task], tables.methods[method]
    task_settings = layers.resolve(tables, task)
    method_settings = layers.resolve(tables, method)
    encoder = choose_encoder(method, method_settings, tables, layers)
    task_type = task_entry.load()
    version = getattr(task_type, "version", "")
    in_slot: dict[str, object] = {}  # a method without the slot keeps the hash it always had
    if encoder is not None:
        in_slot["encoder"] = [encoder.name, encoder.settings.model_dump(mode="json")]
    config_hash = identity.stable_hash(
        {
            **in_slot,
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
        changes={
            **layers.changes(tables, method),
            **({} if encoder is None else flatten({encoder.name: encoder.changes})),
        },
        task_changes=dict(layers.changes(tables, task)),
        seed=seed,
        uses_llm=method_entry.uses_llm,
        config_hash=config_hash,
        folder=config.out / name,
        axes=variant.axes,
        encoder=encoder,
    )


def _settle(row: Row, cell: Cell, world: World, progress: RunProgress, force: bool) -> Row:
    """The row of one cell: read where it is finished, run where it is not."""
    progress.begin(cell.title)
    try:
        with _locked(cell, progress):
            finished = None if force else _finished(cell, progress)
            if force or finished is not None:
                discard_unfinished(cell)
            if finished is not None:
                progress.finish("finished before, skipped (--force runs it again)")
                return _row_of(finished, cell)
            record = run_cell(cell, world, progress)
            progress.finish(
                f"done in {duration(record.fit.wall_seconds + record.evaluation_seconds)}"
            )
            return _row_of(record, cell)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, UserError) and not cell.axes:
            raise  # of a whole run that is the user's error; of one value of an axis, its row's
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


def _row_of(record: results.RunRecord, cell: Cell) -> Row:
    """The row of a finished cell, by the name that this run gives it, whoever made the record."""
    return results.row_of(record, cell.record).model_copy(update={"axes": dict(cell.axes)})


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
