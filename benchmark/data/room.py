"""Arrays and rows that may be larger than memory: what is large lies in files without a name.

Such a file is gone as soon as nobody uses it, even if the process is killed. Arrays in files are
used as any other; the system writes them out and reads them in again as memory allows.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl
import pyarrow as pa

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a system says when a file may not grow."""
LARGE_BYTES = 2**27
"""An array from this size on lies in a file, where there is a folder for it."""


@dataclass(frozen=True)
class Room:
    """Where arrays and rows are made.

    Attributes:
        folder: On the disk that takes what is large; None = all stays in memory.
    """

    folder: Path | None = None

    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array whose values are yet to be written.

        Raises:
            OSError: The disk is full.
        """
        count, kind = int(np.prod(shape)), np.dtype(dtype)
        size = count * kind.itemsize
        if self.folder is None or size < max(LARGE_BYTES, 1):
            return np.empty(shape, dtype=kind)
        with tempfile.TemporaryFile(dir=self.folder) as file:
            # A file with holes would kill the process where the disk cannot fill them.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.frombuffer(mmap.mmap(file.fileno(), size), dtype=kind).reshape(shape)

    def pile(self) -> Pile:
        """Rows that arrive some at a time."""
        return Pile(self)


_ROOM: ContextVar[Room | None] = ContextVar("where large arrays are made", default=None)


def room() -> Room:
    """Where the caller's arrays are made: in memory, unless somebody opened a folder for them."""
    return _ROOM.get() or Room()


@contextlib.contextmanager
def room_in(folder: Path) -> Iterator[None]:
    """Large arrays that are made inside lie on the disk of a folder."""
    token = _ROOM.set(Room(folder))
    try:
        yield
    finally:
        _ROOM.reset(token)


class Pile:
    """Rows that arrive some at a time: in memory while they are few, then a file a column.

    Columns of fixed width without missing values go to files; others stay in memory.

    Args:
        place: Where they are kept.
    """

    def __init__(self, place: Room) -> None:
        self._folder = place.folder
        self._frames: list[pl.DataFrame] = []
        self._bytes = 0
        self._files: dict[str, IO[bytes]] = {}
        self._schema: dict[str, pl.DataType] = {}
        self._rows = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Puts rows behind those that are there; all have the same columns.

        Raises:
            OSError: The disk is full.
        """
        self._frames.append(frame)
        self._bytes += int(frame.estimated_size())
        if self._folder is not None and self._bytes >= LARGE_BYTES:
            self._spill(self._folder)

    def frame(self) -> pl.DataFrame:
        """All rows in order. The pile is empty afterwards."""
        if self._files and self._folder is not None:
            self._spill(self._folder)
        if self._files:
            return self._mapped()
        frames, self._frames = self._frames, []
        return pl.concat(frames)

    def _spill(self, folder: Path) -> None:
        """Moves what is in memory to the files, where all of it can."""
        if not self._frames:
            return
        frame = pl.concat(self._frames)
        if not all(_flat(column) for column in frame):
            self._frames = [self._mapped(), frame] if self._files else [frame]
            self._folder = None  # such rows stay in memory
            return
        if not self._files:
            self._schema = dict(frame.schema)
            for name in frame.columns:
                self._files[name] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        for column in frame:
            write_column(self._files[column.name], column)
        self._rows += len(frame)
        self._frames, self._bytes = [], 0

    def _mapped(self) -> pl.DataFrame:
        """What is in the files, which nobody writes to any more."""
        columns = {}
        for name, dtype in self._schema.items():
            with self._files.pop(name) as file:
                file.flush()
                columns[name] = _column_of(file, self._rows, dtype).alias(name)
        return pl.DataFrame(columns)


def kept_rows(frame: pl.DataFrame, keep: np.ndarray, rows_at_once: int = 2**20) -> pl.DataFrame:
    """Some rows of a frame, in their order, where the caller's room is.

    Args:
        frame: Rows.
        keep: `BoolArray[rows]`.
        rows_at_once: Rows that are looked at together.
    """
    pile = room().pile()
    pile.add(frame.clear())
    for begin in range(0, len(frame), rows_at_once):
        rows = slice(begin, begin + rows_at_once)
        pile.add(frame[rows].filter(pl.Series(keep[rows])))
    return pile.frame()


def write_column(file: IO[bytes], column: pl.Series) -> None:
    """Appends a column of fixed width to a file."""
    file.write(np.ascontiguousarray(column.to_physical().to_numpy()).data)


def _flat(column: pl.Series) -> bool:
    """Whether a column is numbers of a fixed width, none missing."""
    numbers = column.dtype.is_integer() or column.dtype.is_float() or column.dtype == pl.Enum
    return numbers and not column.null_count()


def _column_of(file: IO[bytes], rows: int, dtype: pl.DataType) -> pl.Series:
    """A file's numbers as a column that is not read before it is asked for."""
    empty = pl.Series([], dtype=dtype)
    if not rows:
        return empty  # and nothing can be mapped
    kind = empty.to_physical().to_arrow().type
    size = os.fstat(file.fileno()).st_size
    content = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    array = pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(content)])
    column = pl.Series(values=array)
    return column.cat.to(dtype) if dtype == pl.Enum else column
