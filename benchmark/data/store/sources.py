"""Which files a data set was made of, and whether they are still the same."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path

from benchmark.data.store.manifest import SourceFile

_READ: ContextVar[set[Path] | None] = ContextVar("files that a reader has read", default=None)


def note_read(path: Path) -> None:
    """Says that a reader reads a file; a change of it makes a data set out of date.

    Who says nothing of any file is taken to read all of its source.
    """
    noted = _READ.get()
    if noted is not None:
        noted.add(path)


@contextlib.contextmanager
def files_read() -> Iterator[set[Path]]:
    """Collects the files that are noted inside."""
    noted: set[Path] = set()
    token = _READ.set(noted)
    try:
        yield noted
    finally:
        _READ.reset(token)


def files_of(source: Path) -> dict[str, Path]:
    """Every file of a source by its name there; nothing where there is no such source."""
    if source.is_file():
        return {source.name: source}
    found = {}
    for place, folders, files in os.walk(source):
        folders.sort()
        for file in sorted(files):
            path = Path(place, file)
            if path.is_file():
                found[path.relative_to(source).as_posix()] = path
    return found


def hash_names(names: Iterable[str]) -> str:
    """SHA-256 of file names: a file that is new beside the others may have to be read too."""
    return hashlib.sha256("\0".join(sorted(names)).encode()).hexdigest()


def name_of(source: Path, path: Path) -> str:
    """How a manifest calls a file: relative to the source, or to the folder it is in."""
    base = source if source.is_dir() else source.parent
    return Path(os.path.relpath(path, base)).as_posix()


def describe(source: Path, files: Iterable[Path]) -> tuple[SourceFile, ...]:
    """Names, sizes, times and hashes of files."""
    rows = []
    for path in sorted(set(files)):
        size, changed = stamp(path)
        name = name_of(source, path)
        rows.append(SourceFile(name=name, bytes=size, sha256=hash_file(path), mtime_ns=changed))
    return tuple(rows)


def stamp(path: Path) -> tuple[int, int]:
    """Size and time of the last change: differ where a file was written to."""
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    digest = hashlib.sha256()
    buffer = bytearray(2**20)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
    return digest.hexdigest()


def unchanged(source: Path, names: str, files: Iterable[SourceFile]) -> bool:
    """Whether a source is as it was.

    Sizes and times of change are compared first; a file is read only where its time alone differs.

    Args:
        source: A file or a folder.
        names: What `hash_names` said of its files.
        files: Those that were read.
    """
    if hash_names(files_of(source)) != names:
        return False
    base = source if source.is_dir() else source.parent
    return all(_same(base / file.name, file) for file in files)


def _same(path: Path, file: SourceFile) -> bool:
    try:
        size, changed = stamp(path)
        if size != file.bytes:
            return False
        return changed == file.mtime_ns or hash_file(path) == file.sha256
    except OSError:
        return False
