"""From a publisher's files to a prepared data set, which is there as a whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import polars as pl

from benchmark import __version__
from benchmark.data.cuts import forget
from benchmark.data.dataset import build_dataset
from benchmark.data.raw import PrepareSettings, Reader
from benchmark.data.room import NO_ROOM, room_in
from benchmark.data.store import in_place, sources
from benchmark.data.store.filters import apply_filters
from benchmark.data.store.manifest import Manifest, dataset_folder, missing_file, read_manifest
from benchmark.data.store.store import Origin, write_dataset
from benchmark.entries import DatasetEntry
from benchmark.errors import RunError, UserError
from benchmark.system import home
from benchmark.system.locking import on_stderr
from benchmark.tables import why_unavailable

_NAMED = 4
"""Files of a source that are named where the data came from."""


@dataclass(frozen=True)
class Prepared:
    """A data set that is ready.

    Attributes:
        folder: Where it is.
        manifest: What it holds.
        skipped: Whether it was ready before, and nothing had changed.
    """

    folder: Path
    manifest: Manifest
    skipped: bool


def prepare(
    name: str,
    entry: DatasetEntry,
    source: Path,
    settings: PrepareSettings,
    *,
    force: bool = False,
    tell: Callable[[str], None] = on_stderr,
) -> Prepared:
    """Prepares a data set from its publisher's files.

    What was prepared before stays as it was until the new one is complete. Nothing is done where
    the source's files, the settings and the code that prepares are still the same.

    Args:
        name: The data set, e.g. `amazon-2018/Gift_Cards`.
        entry: Its entry in the table, whose target is a `benchmark.data.raw.Reader`.
        source: An archive, a file, or a folder with either, as the publisher gives them.
        settings: What is left out.
        force: Prepare again where nothing has changed, too.
        tell: Takes lines that the user should see at once.

    Raises:
        UserError: The files are not those of this data set, or nothing is left of them.
        RunError: The disk is full, or the files changed while they were read.
    """
    folder = dataset_folder(name)
    if entry.embedded:
        raise UserError(f"data set {name!r} comes with the package: there is nothing to prepare")
    reason = why_unavailable(entry)
    if reason:
        raise UserError(f"data set {name!r} is not available: {reason}")
    if not source.exists():
        raise UserError(f"{source} is not there")
    with _failures_told(name), in_place.alone(name, tell):
        in_place.recover(name)
        code = hash_code(entry)
        if not force:
            ready = _still_good(name, entry, source, settings, code)
            if ready is not None:
                return Prepared(folder, ready, skipped=True)
        with in_place.new_folder(name) as new, room_in(new):
            manifest = _prepare_into(new, name, entry, source, settings, code)
            in_place.put_in_place(name, new)
            forget(name, tell)
    return Prepared(folder, manifest, skipped=False)


def hash_code(entry: DatasetEntry) -> str:
    """SHA-256 of the code that prepares: what another version left would not be the same."""
    own = Path(__file__).parents[1]
    files = {*own.rglob("*.py"), own.parent / "schema.py", own.parent / "texts.py"}
    module = sys.modules[getattr(entry.load(), "__module__", __name__)]
    if module.__file__:
        files.add(Path(module.__file__))
    digest = hashlib.sha256(__version__.encode())
    for file in sorted(files):
        digest.update(sources.hash_file(file).encode())
    return digest.hexdigest()


def _still_good(
    name: str, entry: DatasetEntry, source: Path, settings: PrepareSettings, code: str
) -> Manifest | None:
    """What is prepared already, if preparing it again would change nothing."""
    try:
        manifest = read_manifest(name)
    except UserError:
        return None
    if manifest is None or missing_file(name, manifest):
        return None
    now = (entry.target, code, settings.model_dump(mode="json"), entry.licence, entry.citation)
    then = (manifest.reader, manifest.code, manifest.settings, manifest.licence, manifest.citation)
    same = now == then and sources.unchanged(source, manifest.source_names, manifest.source_files)
    return manifest if same else None


def _prepare_into(
    folder: Path,
    name: str,
    entry: DatasetEntry,
    source: Path,
    settings: PrepareSettings,
    code: str,
) -> Manifest:
    """Reads, filters, builds and writes."""
    there = sources.files_of(source)
    before = {path: sources.stamp(path) for path in there.values()}
    with sources.files_read() as noted:
        raw = cast("Reader", entry.load())(name, source, settings)
    files = sorted(noted or there.values())
    for path in files:
        if before.get(path, now := sources.stamp(path)) != now:
            raise RunError(f"{path} changed while it was read: prepare {name!r} again")
    with ThreadPoolExecutor(1) as beside:  # hashing needs no more of Python than to be started
        described = beside.submit(sources.describe, source, files)
        frames = apply_filters(name, raw, settings)
        raw = replace(raw, events=raw.events.clear())  # `frames` has the rows, and lets them go
        dataset = build_dataset(
            name,
            frames.events,
            frames.catalog,
            raw.features,
            source=_in_words([sources.name_of(source, path) for path in files]),
            licence=entry.licence,
            citation=entry.citation,
            label_feature=raw.label_feature,
            text_source=frames.text_source,
        )
    counts = {reason: count for reason, count in {**raw.counts, **frames.counts}.items() if count}
    origin = Origin(
        source_files=described.result(),
        source_names=sources.hash_names(there),
        reader=entry.target,
        code=code,
        settings=settings.model_dump(mode="json"),
    )
    return write_dataset(replace(dataset, broken=counts, notes=raw.notes), folder, origin)


def _in_words(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


@contextlib.contextmanager
def _failures_told(name: str) -> Iterator[None]:
    """What the system refuses, in one line."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        full = error.errno in NO_ROOM
        raise RunError(_told(name, reason, full)) from error
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        number = re.search(r"os error (\d+)", str(error))
        full = number is not None and int(number[1]) in NO_ROOM
        raise RunError(_told(name, reason, full)) from error


def _told(name: str, reason: str, full: bool) -> str:
    place = home.datasets_folder()
    if full:
        return (
            f"there is no room to prepare data set {name!r} in {place} ({reason}): nothing was"
            " left there; make room, or set USERLLM_BENCH_HOME to a folder on another disk"
        )
    return f"data set {name!r} could not be prepared in {place}: {reason}"
