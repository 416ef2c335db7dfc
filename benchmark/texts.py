"""Many texts as two flat arrays, so that millions of them can stay on disk until they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np


class Texts(Sequence[str]):
    """Texts by position, in UTF-8.

    Args:
        offsets: `[n + 1]`; text i is `data[offsets[i]:offsets[i + 1]]`. May be memory-mapped.
        data: `[bytes]`, `uint8`. May be memory-mapped.
    """

    def __init__(self, offsets: np.ndarray, data: np.ndarray) -> None:
        self.offsets = offsets
        self.data = data

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Texts in memory."""
        parts = [text.encode() for text in texts]
        lengths = np.fromiter((len(part) for part in parts), dtype=np.int64, count=len(parts))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return cls(offsets, np.frombuffer(b"".join(parts), dtype=np.uint8))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Texts: ...

    def __getitem__(self, index: int | slice) -> str | Texts:
        """One text, or a view of neighbouring ones (steps of 1 alone)."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError("texts can only be sliced in steps of 1")
            return Texts(self.offsets[start : max(start, stop) + 1], self.data)
        position = range(len(self))[index]
        begin, end = int(self.offsets[position]), int(self.offsets[position + 1])
        return bytes(self.data[begin:end]).decode()

    def __iter__(self) -> Iterator[str]:
        for position in range(len(self)):
            yield self[position]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Texts):
            return NotImplemented
        if len(self) != len(other) or not np.array_equal(self.lengths, other.lengths):
            return False
        return bool(np.array_equal(self.joined, other.joined))

    __hash__ = None  # type: ignore[assignment]

    @property
    def lengths(self) -> np.ndarray:
        """Bytes of each text, `[n]`."""
        return np.diff(self.offsets)

    @property
    def joined(self) -> np.ndarray:
        """All texts without anything between them, `uint8`."""
        return self.data[int(self.offsets[0]) : int(self.offsets[-1])]

    def take(self, positions: np.ndarray) -> Texts:
        """A copy of some texts, in the order given.

        Args:
            positions: `[m]` positions, each at least 0.
        """
        lengths = self.lengths[positions]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        # Runs of neighbours (all but a few positions, as a rule) are copied in one piece.
        breaks = np.flatnonzero(np.diff(positions) != 1) + 1
        bounds = np.concatenate([[0], breaks, [len(positions)]])
        data = np.empty(int(offsets[-1]), dtype=np.uint8)
        for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            if first < last:
                begin = int(self.offsets[positions[first]])
                end = int(self.offsets[positions[last - 1] + 1])
                data[offsets[first] : offsets[last]] = self.data[begin:end]
        return Texts(offsets, data)
