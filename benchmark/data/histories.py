"""Histories with the event that follows them: what an evaluation asks about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from benchmark.events import EventLog, kept_before
from benchmark.types import HistoryBatch


@dataclass(frozen=True)
class Examples:
    """Histories and their targets. Only the harness holds one; methods get the histories alone.

    Attributes:
        log: Events that hold histories and targets.
        users: `[n]` internal user indices, from 1.
        starts: `[n]` position of each history's first event in `log`.
        stops: `[n]` one past its last event, which is the position of the target's first event.
        ends: `[n]` one past the target's last event; `stops + 1` where a target is one event.
        groups: Named subsets to report on their own, `BoolArray[n]` each.
    """

    log: EventLog
    users: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    ends: np.ndarray
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.users)

    @property
    def targets(self) -> np.ndarray:
        """Internal item id of each target's first event, `[n]`."""
        return self.log.items[self.stops]

    @property
    def tied(self) -> np.ndarray:
        """True where a target shares its timestamp with the event before it, `[n]`."""
        times = self.log.timestamps
        return (self.stops > self.starts) & (times[self.stops] == times[self.stops - 1])

    def batches(
        self, batch_size: int, history_length: int, *, written: bool = False
    ) -> Iterator[tuple[slice, HistoryBatch]]:
        """Histories in order, each cut to its latest events.

        Args:
            batch_size: Histories in a batch.
            history_length: Most events of a history.
            written: Whether what users wrote comes along.

        Yields:
            Which examples, and their histories `[B, history_length]`.
        """
        for begin in range(0, len(self), batch_size):
            rows = slice(begin, min(begin + batch_size, len(self)))
            starts, stops = self.starts[rows], self.stops[rows]
            yield rows, self.log.gather(starts, stops, history_length, written=written)

    def seen(self, rows: slice) -> Tensor:
        """Which items some histories hold, in their whole length.

        Args:
            rows: Which examples.

        Returns:
            `BoolTensor[B, N + 1]`, True = the user has met the item.
        """
        starts, lengths = self.starts[rows], self.stops[rows] - self.starts[rows]
        owner = np.repeat(np.arange(len(lengths)), lengths)
        before = np.repeat(np.cumsum(lengths) - lengths, lengths)
        items = self.log.items[np.repeat(starts, lengths) + np.arange(len(owner)) - before]
        seen = np.zeros((len(lengths), self.log.schema.num_items + 1), dtype=bool)
        seen[owner, items] = True
        return torch.from_numpy(seen)

    def sample(self, count: int, seed: int) -> Examples:
        """A random `count` of the examples, in their order; all where there are no more."""
        if count >= len(self):
            return self
        chosen = np.random.default_rng(seed).choice(len(self), size=count, replace=False)
        chosen.sort()
        return self.only(chosen)

    def only(self, rows: np.ndarray) -> Examples:
        """Some of the examples, by position or by a mask."""
        return replace(
            self,
            users=self.users[rows],
            starts=self.starts[rows],
            stops=self.stops[rows],
            ends=self.ends[rows],
            groups={name: group[rows] for name, group in self.groups.items()},
        )


def cut_examples(
    log: EventLog,
    keep: np.ndarray,
    rows: np.ndarray,
    begins: np.ndarray,
    ends: np.ndarray,
) -> Examples:
    """Examples over a log of some events.

    Args:
        log: The events that are kept: histories and targets, nothing later.
        keep: `BoolArray[events]`, which of all events it holds.
        rows: `[n]` users (rows of the log), ascending; those left without a history are dropped.
        begins: `[n]` positions among all events of the targets' first events.
        ends: `[n]` positions, one past the targets' last events; all of a target must be kept.
    """
    found = Examples(
        log=log,
        users=rows + 1,
        starts=log.indptr[rows],
        stops=kept_before(keep, begins),
        ends=kept_before(keep, ends),
    )
    return found.only(found.stops > found.starts)


def latest_events(log: EventLog, rows: np.ndarray) -> Examples:
    """Examples whose target is the last event that the log holds of each user.

    Args:
        log: Events up to and including the targets.
        rows: Users (rows of the log), each with at least two events.
    """
    stops = log.indptr[rows + 1] - 1
    return Examples(log, rows + 1, log.indptr[rows], stops, stops + 1)
