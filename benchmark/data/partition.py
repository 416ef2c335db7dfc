"""Events divided by user into parts that fit into memory, so that no sort has to hold all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.data.arrays import let_go
from benchmark.data.encoding import pieces
from benchmark.data.ordering import user_pieces
from benchmark.data.room import room

PART_ROWS = 2**22
"""Rows of a part: what a sort holds in memory."""
ROWS_AT_ONCE = 2**20
"""Rows that are dealt out together."""
_DIGEST_BITS = 24
_LET_GO_EVERY = 2**24
"""Rows after which what was written may leave memory."""


def user_parts(indptr: np.ndarray) -> list[slice]:
    """Neighbouring users that make a part each; a user with very many events is one alone.

    Args:
        indptr: `[U + 1]`, see `EventLog`.
    """
    return list(user_pieces(indptr, PART_ROWS))


def dealt_out(
    keys: np.ndarray, part_of: np.ndarray, starts: np.ndarray, columns: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Copies of columns with the rows of each part together, in the order they had.

    Args:
        keys: `[rows]`, what decides over a row's part.
        part_of: Part of each key.
        starts: First place of each part.
        columns: `[rows]` or `[rows, V]` each.
    """
    copies = [room().empty(column.shape, column.dtype) for column in columns]
    cursors = starts.astype(np.int64)
    since = 0
    for rows in pieces(len(keys), ROWS_AT_ONCE):
        part = part_of[keys[rows]]
        order = np.argsort(part, kind="stable")
        counts = np.bincount(part, minlength=len(starts))
        bounds = np.cumsum(counts) - counts
        filled = np.flatnonzero(counts)
        for column, copy in zip(columns, copies, strict=True):
            together = column[rows][order]
            for here in filled:
                place, begin, count = cursors[here], bounds[here], counts[here]
                copy[place : place + count] = together[begin : begin + count]
        cursors += counts
        since += len(part)
        if since >= _LET_GO_EVERY:
            let_go([keys, *columns, *copies])
            since = 0
    let_go([keys, *columns, *copies])
    return copies


def twice(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """The pairs of user and item that stand in more than one row, ascending.

    Args:
        users: `[rows]`, `uint32`.
        items: `[rows]`, `uint32`.

    Returns:
        `uint64`, the user in the upper half.
    """
    parts = max(1, -(-len(users) // PART_ROWS))
    # Users' numbers may be far apart and of any distribution: their last digits are even enough.
    part_of = np.arange(parts, dtype=np.uint16)
    digits, counts = room().empty(len(users), np.uint16), np.zeros(parts, dtype=np.int64)
    pairs = room().empty(len(users), np.uint64)
    for rows in pieces(len(users)):
        digits[rows] = users[rows] % parts
        counts += np.bincount(digits[rows], minlength=parts)
        pairs[rows] = pack(users[rows], items[rows])
    let_go([digits, pairs])
    stops = np.cumsum(counts)
    if parts > 1:
        (pairs,) = dealt_out(digits, part_of, stops - counts, [pairs])
    found = []
    for stop, count in zip(stops.tolist(), counts.tolist(), strict=True):
        some = np.sort(pairs[stop - count : stop])
        found.append(np.unique(some[1:][some[1:] == some[:-1]]))
        let_go([pairs])
    return np.sort(np.concatenate(found))


def rows_of(pairs: np.ndarray, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """The rows that hold one of some pairs, ascending.

    Args:
        pairs: `uint64`, ascending, as `twice` gives them.
        users: `[rows]`, `uint32`.
        items: `[rows]`, `uint32`.
    """
    # Most rows hold none, and a table of few bytes is enough to tell of most of those.
    suspect = np.zeros(2**_DIGEST_BITS, dtype=bool)
    suspect[_digest(pairs)] = True
    found = []
    for rows in pieces(len(users)):
        packed = pack(users[rows], items[rows])
        some = np.flatnonzero(suspect[_digest(packed)])
        place = np.searchsorted(pairs, packed[some])
        same = pairs[np.minimum(place, len(pairs) - 1)] == packed[some]
        found.append(rows.start + some[same])
    return np.concatenate(found)


def _digest(pairs: np.ndarray) -> np.ndarray:
    """A few bits of each pair, spread evenly."""
    return (pairs * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _DIGEST_BITS)


def pack(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """A number for each pair, `uint64`; both sides are `uint32`."""
    pairs = users.astype(np.uint64)
    pairs <<= np.uint64(32)
    pairs |= items
    return pairs
