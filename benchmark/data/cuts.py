"""What a split lets a method see of a large data set: files that hold those events and no others.

A small cut is copied into memory. A large one is written once, beside the data sets, and mapped by
every process that makes the same cut: they share its pages, and what was cut off is in no file that
the method's log knows of.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import quote

import numpy as np

from benchmark import __version__
from benchmark.data.arrays import let_go, map_array, write_array
from benchmark.data.dataset import Dataset
from benchmark.data.encoding import pieces
from benchmark.data.room import NO_ROOM
from benchmark.errors import RunError
from benchmark.events import EventLog, kept_before
from benchmark.system import home
from benchmark.system.folders import in_place
from benchmark.system.locking import locked, on_stderr

SHARED_EVENTS = 2**23
"""A cut with as many events lies in files; the arrays of one with fewer take some 160 MB."""
_ROWS_AT_ONCE = 2**22


def cut(dataset: Dataset, keep: np.ndarray) -> EventLog:
    """A log of some of a data set's events, from which the others cannot be reached.

    What users wrote is copied into memory, whatever its size.

    Args:
        dataset: What is cut.
        keep: `BoolArray[events]`.

    Raises:
        RunError: There is no room for the files, or their folder cannot be written to.
    """
    log, count = dataset.events, int(np.count_nonzero(keep))
    if log.written or count < SHARED_EVENTS:
        return log.only(keep)
    folder = cuts_of(dataset.name) / _key(dataset, keep)
    found = _opened(log, folder, count)
    if found is not None:
        return found
    try:
        with _alone(dataset.name, on_stderr):
            folder.parent.mkdir(exist_ok=True)
            found = _opened(log, folder, count)  # another process may just have written it
            if found is None:
                with in_place(folder) as fresh:
                    _write(log, keep, fresh)
                found = _open(log, folder)
        return found
    except OSError as error:
        reason = error.strerror or str(error)
        mend = "make room" if error.errno in NO_ROOM else "make it writable"
        raise RunError(
            f"the training events of {dataset.name!r} cannot be written to {folder.parent}"
            f" ({reason}): {mend}, or set USERLLM_BENCH_HOME to another folder"
        ) from error


def cuts_of(name: str) -> Path:
    """Where the cuts of a data set are, whether there are any or not."""
    return _place() / quote(name, safe="")


def forget(name: str, tell: Callable[[str], None]) -> None:
    """Removes the cuts of a data set that was prepared anew; who has opened one reads on.

    Args:
        name: The data set.
        tell: Is told where another process has to be waited for.
    """
    with _alone(name, tell):
        shutil.rmtree(cuts_of(name), ignore_errors=True)


def _place() -> Path:
    return home.datasets_folder() / ".cuts"


def _alone(name: str, tell: Callable[[str], None]) -> AbstractContextManager[None]:
    """Holds the lock of a data set's cuts, which lies where none of them is removed."""
    waiting = f"another process is at the training events of {name}; waiting for it"
    return locked(_place(), quote(name, safe=""), tell, waiting)


def _key(dataset: Dataset, keep: np.ndarray) -> str:
    """A folder name that changes with the events, their columns, and which of them stay."""
    said = (__version__, dataset.fingerprint, dataset.events.schema.fingerprint())
    digest = hashlib.sha256("\0".join(said).encode())
    digest.update(np.ascontiguousarray(keep).data)
    return digest.hexdigest()[:32]


def _write(log: EventLog, keep: np.ndarray, folder: Path) -> None:
    indptr = kept_before(keep, log.indptr)
    write_array(folder / "indptr.npy", indptr.shape, indptr.dtype, [indptr])
    files = {_file(place): column for place, column in enumerate(log.columns.values())}
    for file, column in {**files, "timestamps.npy": log.timestamps}.items():
        shape = (int(indptr[-1]), *column.shape[1:])
        write_array(folder / file, shape, column.dtype, _kept(column, keep))


def _kept(column: np.ndarray, keep: np.ndarray) -> Iterator[np.ndarray]:
    for rows in pieces(len(column), _ROWS_AT_ONCE):
        yield column[rows][keep[rows]]
        let_go([column])


def _opened(log: EventLog, folder: Path, count: int) -> EventLog | None:
    """A cut that is there as a whole, None where it is not."""
    try:
        found = _open(log, folder)
    except (OSError, ValueError):
        return None
    columns = (found.timestamps, *found.columns.values())
    return found if all(len(column) == count for column in columns) else None


def _open(log: EventLog, folder: Path) -> EventLog:
    columns = {name: map_array(folder / _file(place)) for place, name in enumerate(log.columns)}
    return EventLog(
        schema=log.schema,
        indptr=map_array(folder / "indptr.npy"),
        columns=columns,
        item_columns=log.item_columns,
        timestamps=map_array(folder / "timestamps.npy"),
    )


def _file(place: int) -> str:
    """The file of a feature, by its place: users may have called it anything."""
    return f"column-{place:02d}.npy"
