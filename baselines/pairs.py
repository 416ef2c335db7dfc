"""Training batches of (history, next item) pairs: one target a history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmark.events import EventLog
from benchmark.types import HistoryBatch


@dataclass(frozen=True)
class Pairs:
    """A batch of histories, each with the item that came next and one that did not.

    Attributes:
        histories: `B` histories.
        targets: `LongTensor[B]`, the next item.
        negatives: `LongTensor[B]`, an item drawn evenly from all others.
    """

    histories: HistoryBatch
    targets: Tensor
    negatives: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def some(self, index: slice) -> Pairs:
        """Some of the pairs."""
        return Pairs(self.histories.rows(index), self.targets[index], self.negatives[index])

    def to(self, device: torch.device | str) -> Pairs:
        """The same batch on another device."""
        return Pairs(self.histories.to(device), self.targets.to(device), self.negatives.to(device))


def target_positions(log: EventLog) -> np.ndarray:
    """Positions in the flat arrays of all events but each user's first."""
    first = np.zeros(log.num_events, dtype=bool)
    first[log.indptr[:-1][log.lengths > 0]] = True
    return np.flatnonzero(~first)


def histories_before(log: EventLog, positions: np.ndarray, length: int) -> HistoryBatch:
    """What the owners of some events did before them, the latest `length` events."""
    owners = np.searchsorted(log.indptr, positions, side="right") - 1
    return log.gather(log.indptr[owners], positions, length)


def endless_pairs(
    log: EventLog, length: int, batch_size: int, seed: int
) -> tuple[Iterator[Pairs], int]:
    """Shuffled batches of pairs, for ever.

    Args:
        log: Events; each but a user's first is a target once an epoch.
        length: Most events of a history (`L`).
        batch_size: Pairs in a batch, at most as many as there are.
        seed: Seed of order and negatives.

    Returns:
        The batches, and the number of pairs in an epoch.

    Raises:
        ValueError: No user has two events.
    """
    positions = target_positions(log)
    if len(positions) == 0:
        raise ValueError("no user has two events, so there is nothing to learn from")
    size = min(batch_size, len(positions))
    return _batches(log, positions, length, size, seed), len(positions)


def _batches(
    log: EventLog, positions: np.ndarray, length: int, size: int, seed: int
) -> Iterator[Pairs]:
    rng = np.random.default_rng(seed)
    num_items = log.schema.num_items
    waiting = np.zeros(0, dtype=np.int64)
    while True:
        waiting = np.concatenate([waiting, rng.permutation(positions)])
        while len(waiting) >= size:
            chosen, waiting = waiting[:size], waiting[size:]
            targets = log.items[chosen].astype(np.int64)
            # A step of 1..N - 1 around the circle of items never lands on the target itself.
            step = rng.integers(1, max(num_items, 2), size)
            negatives = (targets - 1 + step) % num_items + 1
            yield Pairs(
                histories_before(log, chosen, length),
                torch.from_numpy(targets),
                torch.from_numpy(negatives),
            )
