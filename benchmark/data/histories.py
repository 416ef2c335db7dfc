"""Histories with the event that follows them: what an evaluation asks about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmark.events import EventLog
from benchmark.types import HistoryBatch


@dataclass(frozen=True)
class Examples:
    """Histories and their targets. Only the harness holds one; methods get the histories alone.

    Attributes:
        log: Events that hold histories and targets.
        users: `[n]` internal user indices, from 1.
        starts: `[n]` position of each history's first event in `log`.
        stops: `[n]` one past its last event, which is the position of the target's event.
        targets: `[n]` internal item ids.
        tied: `[n]` True where the target shares its timestamp with the event before it.
    """

    log: EventLog
    users: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    targets: np.ndarray
    tied: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    def batches(self, batch_size: int, history_length: int) -> Iterator[tuple[slice, HistoryBatch]]:
        """Histories in order, each cut to its latest events.

        Args:
            batch_size: Histories in a batch.
            history_length: Most events of a history.

        Yields:
            Which examples, and their histories `[B, history_length]`.
        """
        for begin in range(0, len(self), batch_size):
            rows = slice(begin, min(begin + batch_size, len(self)))
            yield rows, self.log.gather(self.starts[rows], self.stops[rows], history_length)

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
        return replace(
            self,
            users=self.users[chosen],
            starts=self.starts[chosen],
            stops=self.stops[chosen],
            targets=self.targets[chosen],
            tied=self.tied[chosen],
        )


def latest_events(log: EventLog, rows: np.ndarray) -> Examples:
    """Examples whose target is the last event that the log holds of each user.

    Args:
        log: Events up to and including the targets.
        rows: Users (rows of the log), each with at least two events.
    """
    starts, stops = log.indptr[rows], log.indptr[rows + 1] - 1
    return Examples(
        log=log,
        users=rows + 1,
        starts=starts,
        stops=stops,
        targets=log.items[stops],
        tied=log.timestamps[stops] == log.timestamps[stops - 1],
    )
