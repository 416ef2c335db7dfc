"""Finds and opens the files of a data set, without trusting who packed them.

A source is a file, a zip archive, or a folder with either. What a file is, is told by its first
bytes and not by its name. Nothing is ever written where an archive says: members are unpacked
into a temporary folder of our own, under a name of our own (`benchmark.data.files.unpacking`).
"""

from __future__ import annotations

import fnmatch
import os
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType

from benchmark.data.files.unpacking import checked_zip, is_packed, is_zip, unpack
from benchmark.data.store.sources import note_read
from benchmark.errors import UserError

MOST_FILES = 100_000
"""Files that a folder may hold; looking for one by name in more is refused as a mistake."""

_LISTED = 12
"""Files that an error lists."""


@dataclass
class Opened:
    """One file of a data set, as a plain file on disk.

    Use it in a `with` block: what was unpacked is removed at its end.

    Attributes:
        name: As errors call it, e.g. `ml-1m.zip/ml-1m/ratings.dat`.
        path: The plain file: the user's own where it was plain already, else an unpacked copy.
    """

    name: str
    path: Path
    _folder: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    def close(self) -> None:
        """Removes what was unpacked; the user's own files stay."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> Opened:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True)
class _Member:
    """A file of a source.

    Attributes:
        name: Its place in the source, with `/`.
        shown: As errors call it.
        path: The file on disk, or the zip archive that holds it.
        info: What the archive says of it, None where it lies on disk.
    """

    name: str
    shown: str
    path: Path
    info: zipfile.ZipInfo | None = None


def open_member(source: Path, *names: str) -> Opened:
    """Opens one file of a source: the first of `names` that is there, at any depth, plain or gz.

    Args:
        source: A file, a zip archive, or a folder with either.
        names: File names in order of preference. `*`, `?` and `[...]` are patterns, letter case
            is ignored, and so is a `.gz` at the end. A name may begin with folders
            (`ml-20m/ratings.csv`), which then must be the last ones above the file.

    Raises:
        UserError: None is there (says what is), several are, or what is there cannot be unpacked.
        RunError: There is no room to unpack it.
    """
    there = _look(source)
    for name in names:
        found = _choose(source, name, there)
        if found is not None:
            return _open(found)
    listing = _listing([member.name for member in there])
    raise UserError(f"{source}: no file called {' or '.join(names)}; there is {listing}")


def members(source: Path) -> list[str]:
    """Names of all files of a source, those inside the zip archives of a folder too.

    Raises:
        UserError: The source is not there, or an archive is damaged or unsafe.
    """
    return [member.name for member in _look(source)]


def _look(source: Path) -> list[_Member]:
    try:
        if source.is_dir():
            return _look_in_folder(source)
        if not source.is_file():
            wrong = "is neither a file nor a folder" if source.exists() else "is not there"
            raise UserError(f"{source} {wrong}")
        if is_zip(source):
            return list(_zip_members(source, str(source), ""))
        if source.suffix.lower() == ".zip" and not is_packed(source, str(source)):
            raise UserError(f"{source} is no zip archive")
        return [_Member(source.name, str(source), source)]
    except (OSError, ValueError) as error:
        raise UserError(f"{source} cannot be read: {error}") from error


def _look_in_folder(folder: Path) -> list[_Member]:
    plain: list[_Member] = []
    for path in _files(folder):
        if len(plain) == MOST_FILES:
            raise UserError(f"{folder} holds more than {MOST_FILES} files: name a folder below it")
        plain.append(_Member(path.relative_to(folder).as_posix(), str(path), path))
    zipped: list[_Member] = []
    for archive in plain:
        if archive.name.lower().endswith(".zip") and is_zip(archive.path):
            zipped += _zip_members(archive.path, archive.shown, f"{archive.name}/")
    return plain + zipped


def _files(folder: Path) -> Iterator[Path]:
    """Files below a folder in a fixed order, hidden ones left out; folders that are links too."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        for name in sorted(files):
            path = Path(place, name)
            if not _hidden(name) and path.is_file():
                yield path


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _zip_members(path: Path, shown: str, prefix: str) -> Iterator[_Member]:
    with checked_zip(path) as archive:
        for info in archive.infolist():
            name = info.filename.replace("\\", "/")
            if not name.endswith("/") and not any(map(_hidden, PurePosixPath(name).parts)):
                yield _Member(prefix + name, f"{shown}/{name}", path, info)


def _choose(source: Path, name: str, there: Sequence[_Member]) -> _Member | None:
    """The member that a name means: unzipped first, then nearest to the top, then plain, not gz.

    Raises:
        UserError: Several are as near.
    """
    found = [member for member in there if _matches(member, name)]
    if not found:
        return None

    def rank(member: _Member) -> tuple[bool, int, bool]:
        depth = len(PurePosixPath(member.name).parts)
        return member.info is not None, depth, member.name.lower().endswith(".gz")

    best = min(map(rank, found))
    nearest = [member for member in found if rank(member) == best]
    if len(nearest) > 1:
        listing = _listing([member.name for member in nearest])
        raise UserError(f"{source}: which file is {name}? There is {listing}")
    return nearest[0]


def _matches(member: _Member, name: str) -> bool:
    wanted = _parts(name)
    last = _parts(member.name)[-len(wanted) :]
    return len(last) == len(wanted) and all(map(fnmatch.fnmatchcase, last, wanted))


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.lower().removesuffix(".gz")).parts


def _listing(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}" if names else "nothing"


def _open(member: _Member) -> Opened:
    """A member as a plain file, unpacked where it is not one."""
    note_read(member.path)
    if member.info is None and not is_packed(member.path, member.shown):
        return Opened(member.shown, member.path)
    folder = tempfile.TemporaryDirectory(prefix="userllm-bench-")
    try:
        path = unpack(member.path, member.info, Path(folder.name), member.shown)
    except BaseException:
        folder.cleanup()
        raise
    return Opened(member.shown, path, folder)
