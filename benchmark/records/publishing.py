"""Records that are fit to be committed, with examples in the compact form. Free of torch."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import polars as pl

from benchmark.errors import UserError
from benchmark.evidence.contestants import differing
from benchmark.records.example_files import compact, read_stored, write_examples
from benchmark.records.results import (
    RECORD,
    NewerRecordError,
    RunRecord,
    asked,
    find_records,
    read_record,
    variant,
)
from benchmark.records.verification import OK, check
from benchmark.system.durable import alone_in
from benchmark.system.folders import in_place, recover
from benchmark.tables import Tables

_PRESET = "quick"
"""The preset that goes without saying in the name of a folder."""
_ANOTHER = "name another --out"
_OWN = "own/"
"""What names of data begin with that their publisher is whoever runs this."""
_LONGEST = 100
"""Characters of a folder's name; a longer one ends in a hash."""


@dataclass(frozen=True)
class Published:
    """What became of a record.

    Attributes:
        path: The record.
        folder: Where it is now; where it was meant to be if it was refused.
        refused: Why it was not published, "" where it was.
        older: Whether a later record of the same cell was taken in its place.
    """

    path: Path
    folder: Path
    refused: str = ""
    older: bool = False


def publish(
    paths: Sequence[Path], out: Path, tables: Tables, *, allow_own: bool = False
) -> Iterator[Published]:
    """Publishes the records under some folders, each cell's latest one.

    Args:
        paths: Folders with records.
        out: Folder of what is published.
        tables: What can be named.
        allow_own: Whether rows of somebody's own data are published too.

    Yields:
        One outcome a record, refused ones and older ones of a cell among them.

    Raises:
        UserError: There is no record, or `out` cannot be written.
    """
    latest: dict[Path, tuple[Path, RunRecord]] = {}
    refused, older = [], []
    for path in find_records(paths):
        try:
            record = read_record(path)
        except UserError as error:
            refused.append(Published(path, path.parent, str(error)))
            continue
        folder = out / place(record)
        beside = latest.get(folder)
        if beside is not None and (unlike := differing(record, beside[1])):
            reason = f"its place is that of {beside[0]}, which differs in {unlike[0]}: {_ANOTHER}"
            refused.append(Published(path, folder, reason))
        elif beside is None or record.created >= beside[1].created:
            latest[folder] = path, record
            older += [Published(beside[0], folder, older=True)] if beside else []
        else:
            older.append(Published(path, folder, older=True))
    if not latest and not refused:
        raise UserError(f"no {RECORD} under {', '.join(map(str, paths))}: name a folder of runs")
    yield from (*refused, *older)
    for folder, (path, record) in sorted(latest.items(), key=lambda item: item[0]):
        try:
            if record.dataset.name.startswith(_OWN) and not allow_own:
                raise UserError(
                    "it is about data of your own, and hashes of users protect nobody whose id can "
                    "be guessed: --allow-own publishes it all the same"
                )
            with alone_in(folder.parent):
                _publish(path, record, folder, tables)
            yield Published(path, folder)
        except UserError as reason:
            _prune(folder.parent, out)
            yield Published(path, folder, str(reason))


def place(record: RunRecord) -> Path:
    """Where a record is published: data set, task, split, and the cell's own folder."""
    settings = [f"{name}={value}" for name, value in sorted(asked(record).items())]
    part = record.protocol.part
    divided = [
        record.protocol.split,
        *([part] if part != "test" else []),
        *([record.preset] if record.preset != _PRESET else []),
    ]
    cell = [record.method.name, *filter(None, [variant(record)]), f"s{record.seed}"]
    names = [[record.dataset.name], [record.task.name, *settings], divided, cell]
    return Path(*(_folder_name(parts) for parts in names))


def _folder_name(parts: Sequence[str]) -> str:
    whole = "-".join(parts)
    name = re.sub(r"[^\w.=+-]+", "-", whole, flags=re.ASCII).lstrip(".-") or "-"
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 9]}-{sha256(whole.encode()).hexdigest()[:8]}"


def _publish(path: Path, record: RunRecord, folder: Path, tables: Tables) -> None:
    """Puts one record in place.

    Raises:
        UserError: It must not be published.
    """
    if (record.git or {}).get("dirty"):
        raise UserError("the code that made it was not committed (git.dirty): commit, run again")
    written = record.model_copy(update={"command": _without_folders(record.command)})
    local = next(_local_paths(written), "")
    if local:
        raise UserError(
            f"it names the absolute path {local!r}: run again with a relative one, and --force"
        )
    recover(folder)
    _refuse_another(record, folder)
    verdict = check(path, tables)
    if verdict.status != OK:
        raise UserError(f"{verdict.status}: {verdict.problems[0]}")
    stored = compact(read_stored(path), record.dataset.fingerprint)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with in_place(folder) as fresh:
            _write_record(path, written.command, fresh)
            write_examples(fresh, stored)
            verdict = check(fresh / RECORD, tables)
            if verdict.status != OK:
                raise UserError(f"its compact examples do not do: {verdict.problems[0]}")
    except (OSError, pl.exceptions.ComputeError) as error:
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or ["?"])[0]
        raise UserError(f"{folder} cannot be written: {reason}") from None


def _write_record(path: Path, command: str, folder: Path) -> None:
    """Copies a record, as it is but for its command."""
    values = json.loads(text := path.read_text(encoding="utf-8"))
    if values["command"] != command:
        text = json.dumps({**values, "command": command}, indent=2, ensure_ascii=False) + "\n"
    (folder / RECORD).write_text(text, encoding="utf-8")


def _prune(folder: Path, out: Path) -> None:
    """Removes folders that nothing was put into, up to the one of all that is published."""
    with contextlib.suppress(OSError):
        while folder not in (out, folder.parent):
            folder.rmdir()
            folder = folder.parent


def _refuse_another(record: RunRecord, folder: Path) -> None:
    """Refuses to replace what was asked something else."""
    there = folder / RECORD
    if not there.is_file():
        return
    try:
        other = read_record(there)
    except NewerRecordError:
        raise
    except UserError:
        return  # a broken record is in nobody's way
    unlike = differing(record, other)
    if unlike:
        raise UserError(f"{folder} holds a record that differs in {unlike[0]}: {_ANOTHER}")


def _without_folders(command: str) -> str:
    """A command that names files and folders of a machine by their last parts alone.

    Where they lay is nobody's business, and nothing that was computed depends on it.
    """
    found = sorted(filter(_is_local, _pieces(command)), key=len, reverse=True)
    for path in found:
        last = PureWindowsPath(path).name  # knows both kinds of slashes
        command = command.replace(path, last or ".")
    return command


def _local_paths(record: RunRecord) -> Iterator[str]:
    """Absolute paths in what a record says."""
    values = record.model_dump(mode="json", exclude={"command"})
    yield from filter(_is_local, (*_pieces(record.command), *_texts(values)))


def _pieces(command: str) -> list[str]:
    """The parts of a command that may be paths."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    return [piece for word in words for piece in re.split(r"[=,]", word)]


def _is_local(text: str) -> bool:
    kinds = (PurePosixPath, PureWindowsPath)
    return text.startswith("~/") or any(kind(text).is_absolute() for kind in kinds)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
