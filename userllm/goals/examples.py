"""Order of training examples: every batch full, every pass in another order, the same by seed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmark.events import EventLog
from benchmark.types import HistoryBatch


def endless_rows(count: int, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Shuffled rows `0..count-1`, for ever, `min(batch_size, count)` at a time.

    What is left of a pass opens the next one's first batch, so no example is dropped.

    Args:
        count: Number of examples.
        batch_size: `B` at most.
        seed: Seed of the order.

    Raises:
        ValueError: There is no example.
    """
    if count < 1:
        raise ValueError("there is no example to learn from")
    size, rows = min(batch_size, count), np.zeros(0, dtype=np.int64)
    for epoch in itertools.count():
        order = np.random.default_rng([seed, epoch, 2]).permutation(count)
        rows = np.concatenate([rows, order])
        whole = len(rows) // size * size
        yield from rows[:whole].reshape(-1, size)
        rows = rows[whole:]


def gather_histories(
    log: EventLog, starts: np.ndarray, stops: np.ndarray, length: int, *, written: bool = False
) -> HistoryBatch:
    """Histories `log[start:stop]`, the latest `length` events of each, no longer than they are.

    Args:
        log: Events.
        starts: `[B]` positions.
        stops: `[B]` positions, exclusive.
        length: Most events of a history.
        written: Whether what users wrote comes along.
    """
    longest = int((stops - starts).max(initial=1))
    return log.gather(starts, stops, max(1, min(length, longest)), written=written)


def front_filled(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of tokens as `LongTensor[B, G]`, filled up with -1 at the front, as leads are."""
    turned = [torch.tensor(row, dtype=torch.long).flip(0) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(turned, batch_first=True, padding_value=-1).flip(1)


def end_filled(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of tokens as `LongTensor[B, T]`, filled up with -1 at the end."""
    tokens = [torch.tensor(row, dtype=torch.long) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=-1)
