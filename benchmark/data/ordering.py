"""Events put in the order of users and time, and what can be told of them once they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np

from benchmark.data.arrays import let_go
from benchmark.data.encoding import PIECE, pieces
from benchmark.data.gaps import gap_column
from benchmark.data.parallel import side_by_side
from benchmark.data.room import room


def time_order(users: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """Positions that put events in the order of users and time; ties stay in file order.

    Args:
        users: `[events]`, small whole numbers from 0.
        timestamps: `[events]`.
    """
    if not len(users):
        return np.empty(0, dtype=np.int64)
    first, last = int(timestamps.min()), int(timestamps.max())
    span = last - first + 1
    if (int(users.max()) + 1) * span >= 2**63:
        return np.lexsort((timestamps, users))
    key = users.astype(np.int64)  # both in one number: one sort instead of two
    key *= span
    for rows in pieces(len(key)):
        key[rows] += timestamps[rows] - first
    return np.argsort(key, kind="stable")


def stand_together(users: np.ndarray) -> bool:
    """Whether events are by user already, users in ascending order."""
    return all(
        np.all(users[rows][:-1] <= users[rows][1:]) for rows in pieces(len(users), overlap=1)
    )


def sort_in_place(
    users: np.ndarray,
    timestamps: np.ndarray,
    columns: Iterable[np.ndarray],
    parts: Iterable[slice] | None = None,
) -> None:
    """As `time_order`, for users who stand together: columns are sorted a few users at a time.

    Args:
        users: `[events]`, ascending; with `parts`, those of a part before those of the next.
        timestamps: `[events]`; is sorted too.
        columns: `[events]` each.
        parts: Neighbouring events that are sorted together; None = those of a few users.
    """
    sorted_too = [*columns, timestamps]

    def sort_piece(rows: slice) -> None:
        order = time_order(users[rows], timestamps[rows])
        for column in sorted_too:
            column[rows] = column[rows][order]

    parts = _whole_users(users) if parts is None else parts
    side_by_side(partial(sort_piece, rows) for rows in parts)


def _whole_users(users: np.ndarray) -> Iterator[slice]:
    """Pieces of ascending users, none of whom is cut."""
    begin = 0
    while begin < len(users):
        last = users[min(begin + PIECE, len(users)) - 1]
        end = int(np.searchsorted(users, last, side="right"))
        yield slice(begin, end)
        begin = end


def ascending_pairs(users: np.ndarray, items: np.ndarray) -> bool:
    """Whether every event's pair of user and item is beyond the one before, so none comes twice.

    Many files are in this order, and then there is no need to look for repeats.
    """
    for rows in pieces(len(users), overlap=1):
        user, item = users[rows], items[rows]
        on, same = user[1:] > user[:-1], user[1:] == user[:-1]
        if not np.all(on | (same & (item[1:] > item[:-1]))):
            return False
    return True


def gap_buckets(timestamps: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """`gap_column` of all events, worked out a few users at a time."""
    buckets = room().empty(len(timestamps), np.int32)

    def fill(users: slice) -> None:
        bounds = indptr[users.start : users.stop + 1]
        events = slice(int(bounds[0]), int(bounds[-1]))
        buckets[events] = gap_column(timestamps[events], bounds - bounds[0])

    side_by_side(partial(fill, users) for users in user_pieces(indptr))
    let_go([timestamps, buckets])
    return buckets


def meets_again(items: np.ndarray, indptr: np.ndarray) -> bool:
    """Whether some user meets an item twice.

    Args:
        items: `[events]`, internal ids.
        indptr: `[U + 1]`, see `EventLog`.
    """
    count = int(items.max()) + 1 if len(items) else 1

    def again(users: slice) -> bool:
        bounds = indptr[users.start : users.stop + 1]
        small = (len(bounds) - 1) * count < 2**32  # half the bytes are sorted in half the time
        owner = np.arange(len(bounds) - 1, dtype=np.uint32 if small else np.int64) * count
        met = items[int(bounds[0]) : int(bounds[-1])]
        pairs = np.repeat(owner, np.diff(bounds)) + met.astype(owner.dtype)
        pairs.sort()
        return bool(np.any(pairs[1:] == pairs[:-1]))

    return any(side_by_side(partial(again, users) for users in user_pieces(indptr)))


def user_pieces(indptr: np.ndarray, size: int = 0) -> Iterator[slice]:
    """Neighbouring users whose events together are few enough to be worked on at once.

    Args:
        indptr: `[U + 1]`, see `EventLog`.
        size: Events of a piece; `PIECE` where nothing is said.
    """
    size = size or PIECE
    begin, users = 0, len(indptr) - 1
    while begin < users:
        end = int(np.searchsorted(indptr, indptr[begin] + size, side="right")) - 1
        end = min(max(end, begin + 1), users)
        yield slice(begin, end)
        begin = end
