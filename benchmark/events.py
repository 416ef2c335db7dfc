"""Users' events in time order, as flat arrays, and batches of windows cut from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from benchmark.schema import ITEM, FeatureKind, FeatureSchema
from benchmark.texts import Texts
from benchmark.types import HistoryBatch

_PIECE = 2**18
"""Events that are counted at a time."""


@dataclass(frozen=True)
class EventLog:
    """Events of all users, one user after the other, oldest first.

    Attributes:
        schema: Features of an event.
        indptr: `[U + 1]`; the events of user u are `indptr[u]:indptr[u + 1]`.
        columns: Event features, each `[events]`; always has the item.
        item_columns: Features that follow from the item, `[N + 1]` or `[N + 1, V]`.
        timestamps: `[events]`, seconds since 1970.
        written: What the user wrote at each event, by field (`text`, `summary`); "" = nothing.
    """

    schema: FeatureSchema
    indptr: np.ndarray
    columns: Mapping[str, np.ndarray]
    item_columns: Mapping[str, np.ndarray]
    timestamps: np.ndarray
    written: Mapping[str, Texts] = field(default_factory=dict)

    @property
    def num_users(self) -> int:
        """Number of users, those without events counted."""
        return len(self.indptr) - 1

    @property
    def num_events(self) -> int:
        """Number of events."""
        return int(self.indptr[-1])

    @property
    def lengths(self) -> np.ndarray:
        """Number of events of each user, `[U]`."""
        return np.diff(self.indptr)

    @property
    def items(self) -> np.ndarray:
        """Internal item id of every event, `[events]`."""
        return self.columns[ITEM]

    def truncated(self, stops: np.ndarray) -> EventLog:
        """A copy that holds, of each user u, only the events before position `stops[u]`.

        It is a copy so that what was cut off cannot be reached from it.
        """
        if np.any(stops < self.indptr[:-1]) or np.any(stops > self.indptr[1:]):
            raise ValueError("a stop lies outside of its user's events")
        return self.only(within(self.indptr[:-1], stops, self.num_events))

    def only(self, keep: np.ndarray) -> EventLog:
        """A copy that holds some of the events; the others cannot be reached from it.

        Args:
            keep: `BoolArray[events]`.
        """
        return EventLog(
            schema=self.schema,
            indptr=kept_before(keep, self.indptr),
            columns={name: column[keep] for name, column in self.columns.items()},
            item_columns=self.item_columns,
            timestamps=self.timestamps[keep],
            written={name: own.take(np.flatnonzero(keep)) for name, own in self.written.items()},
        )

    def shard(self, rank: int, world: int) -> EventLog:
        """A view of one of several groups of neighbouring users with about as many events each.

        Nothing is copied: of a log on disk, only what is read of it comes into memory. Users keep
        their numbers; those of the other groups have no events here.

        Args:
            rank: Which group, from 0.
            world: How many groups there are.
        """
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} is none of {world}")
        marks = [self.num_events * n // world for n in (rank, rank + 1)]
        low, high = self.indptr[np.searchsorted(self.indptr, marks)].tolist()
        return EventLog(
            schema=self.schema,
            indptr=np.clip(self.indptr, low, high) - low,
            columns={name: column[low:high] for name, column in self.columns.items()},
            item_columns=self.item_columns,
            timestamps=self.timestamps[low:high],
            written={name: own[low:high] for name, own in self.written.items()},
        )

    def gather(
        self, starts: np.ndarray, stops: np.ndarray, length: int, *, written: bool = False
    ) -> HistoryBatch:
        """The events `start:stop` of each row, the latest `length` of them, padded on the right.

        Args:
            starts: `[B]` positions in the flat arrays.
            stops: `[B]` positions, exclusive.
            length: `L`.
            written: Whether what users wrote comes along.

        Returns:
            Batch of `[B, L]` features, `[B, L, V]` where a feature is multi-valued.
        """
        starts = np.maximum(starts, stops - length)
        index = starts[:, None] + np.arange(length)[None, :]
        real = index < stops[:, None]
        index = np.where(real, index, 0)
        items = np.where(real, self.items[index], 0)
        features: dict[str, torch.Tensor] = {}
        for feature in self.schema:
            if feature.name in self.columns:
                column = self.columns[feature.name]
                values = np.where(real if column.ndim == 1 else real[..., None], column[index], 0)
            else:
                values = self.item_columns[feature.name][items]
            features[feature.name] = torch.from_numpy(values.astype(np.int64))
            if feature.kind is FeatureKind.MULTI and values.ndim != 3:
                raise ValueError(f"feature {feature.name!r} must have a column of several values")
        users = np.searchsorted(self.indptr, starts, side="right")
        users = np.where(real.any(axis=1), users, 0)  # where no event is, nobody owns it
        texts = {
            name: [list(own[int(a) : int(b)]) for a, b in zip(starts, stops, strict=True)]
            for name, own in (self.written if written else {}).items()
        }
        return HistoryBatch(features, torch.from_numpy(real), torch.from_numpy(users), texts)


def within(starts: np.ndarray, stops: np.ndarray, events: int) -> np.ndarray:
    """Which events lie in one of some spans, `BoolArray[events]`; with little memory.

    Args:
        starts: `[n]` first event of each span; no two spans share an event.
        stops: `[n]` one past its last, its start where it is empty.
        events: How many there are.
    """
    some = stops > starts
    inside = np.zeros(events + 1, dtype=np.int8)
    inside[starts[some]] += 1
    inside[stops[some]] -= 1
    np.cumsum(inside, dtype=np.int8, out=inside)
    return inside[:-1].view(np.bool_)


def kept_before(keep: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How many events before each of some places are kept, `[n]`; with little memory.

    Args:
        keep: `BoolArray[events]`.
        places: `[n]` positions, ascending, at most the number of events.
    """
    found, before = np.zeros(len(places), dtype=np.int64), 0
    for begin in range(0, len(keep), _PIECE):
        counts = before + np.cumsum(keep[begin : begin + _PIECE])
        end = begin + len(counts)
        first, last = np.searchsorted(places, (begin, end), side="right")
        found[first:last] = counts[places[first:last] - begin - 1]
        before = int(counts[-1])
    return found


@dataclass(frozen=True)
class Windows:
    """Cuts of users' histories: `log[start:stop]` a window, at most `length` events each."""

    log: EventLog
    starts: np.ndarray
    stops: np.ndarray
    length: int

    def __len__(self) -> int:
        return len(self.starts)

    def batches(self, order: np.ndarray, batch_size: int) -> Iterator[HistoryBatch]:
        """Batches of the windows named by `order`, in that order."""
        for begin in range(0, len(order), batch_size):
            rows = order[begin : begin + batch_size]
            yield self.log.gather(self.starts[rows], self.stops[rows], self.length)


def cut_windows(
    log: EventLog, length: int, *, rng: np.random.Generator | None = None, minimum: int = 2
) -> Windows:
    """Cuts every history into windows of at most `length` events that together cover it.

    Neighbouring windows share one event, so that with windows of `L + 1` events (`L` inputs, each
    with the next event as its target) every event but a user's first is a target exactly once.
    Cuts count back from the latest event; with `rng` they are shifted by a random offset a user,
    so that over epochs an event is met with contexts of every length.

    Args:
        log: Events to cut.
        length: Most events a window holds, at least 2.
        rng: Source of the random shift, None for none.
        minimum: Windows with fewer events are dropped; at least 2, an input and its target.
    """
    if length < 2 or minimum < 2:
        raise ValueError("a window needs at least two events: an input and its target")
    stride = length - 1
    users = np.flatnonzero(log.lengths >= minimum)
    begin, end = log.indptr[users], log.indptr[users + 1]
    shift = (
        np.zeros(len(users), dtype=np.int64) if rng is None else rng.integers(0, stride, len(users))
    )
    # Positions of the cuts: end - 1 + shift - j * stride, clipped into the user's events.
    count = -(-(end - 1 - begin + shift) // stride)
    owner = np.repeat(np.arange(len(users)), count)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    last = (end - 1 + shift)[owner] - nth * stride
    starts = np.maximum(last - stride, begin[owner])
    stops = np.minimum(last, (end - 1)[owner]) + 1
    keep = stops - starts >= minimum
    return Windows(log, starts[keep], stops[keep], length)
