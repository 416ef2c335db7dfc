"""Arrays as `.npy` files: written a piece at a time, and mapped, so that processes share them."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

_PIECE_BYTES = 2**24


def map_array(path: Path) -> np.ndarray:
    """An array that stays on disk; as a plain array, because numpy's own kind is slow to index."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.asarray(array)


def write_array(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], pieces: Iterable[np.ndarray]
) -> None:
    """Writes an array as `np.save` does, but a full disk is told as what it is.

    Waits until it is on the disk, which takes its time while other arrays are made ready.

    Args:
        path: The file.
        shape: Of the whole array.
        dtype: Of its values.
        pieces: Neighbouring rows; together they are the array.

    Raises:
        OSError: The disk is full.
    """
    facts = np.lib.format.header_data_from_array_1_0(np.empty((0, *shape[1:]), dtype))
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {**facts, "shape": shape})
        for piece in pieces:
            content = np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data
            for begin in range(0, len(content), _PIECE_BYTES):
                file.write(content[begin : begin + _PIECE_BYTES])
        file.flush()
        os.fsync(file.fileno())


def let_go(arrays: Iterable[np.ndarray]) -> None:
    """Takes arrays in files out of this process's memory; what was written stays in the files."""
    for array in arrays:
        base: object = array
        while base is not None and not isinstance(base, mmap.mmap):
            base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
        if base is not None and hasattr(base, "madvise"):
            base.madvise(mmap.MADV_DONTNEED)
