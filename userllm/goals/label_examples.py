"""What a label head learns from: examples of a goal, as histories or as states of an encoder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmark.events import EventLog
from benchmark.types import HistoryBatch
from userllm.encoder.event_encoder import EventEncoder

_ENCODED_AT_A_TIME = 512


@dataclass(frozen=True)
class LabelExamples:
    """A batch of examples: histories, or their states, and what is right.

    Attributes:
        read: Histories, or `FloatTensor[B, D]` states of their latest events.
        shares: `FloatTensor[B, C]` that sum to one: tied labels have equal shares.
    """

    read: HistoryBatch | Tensor
    shares: Tensor

    def __len__(self) -> int:
        return len(self.shares)

    def some(self, index: slice) -> LabelExamples:
        """Some of the examples."""
        read = self.read[index] if isinstance(self.read, Tensor) else self.read.rows(index)
        return LabelExamples(read, self.shares[index])

    def to(self, device: torch.device | str) -> LabelExamples:
        """The same batch on another device."""
        return LabelExamples(self.read.to(device), self.shares.to(device))


def tied_shares(right: np.ndarray) -> Tensor:
    """Right answers `BoolArray[n, C]` as shares `FloatTensor[n, C]`: ties have equal shares."""
    counts = right.sum(axis=1, keepdims=True)
    return torch.from_numpy((right / counts).astype(np.float32))


def drawn(count: int, most: int, seed: int) -> np.ndarray:
    """Positions of at most `most` of `count` examples, evenly drawn, in order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng([seed, count]).choice(count, size=most, replace=False))


@torch.no_grad()
def encoded(
    encoder: EventEncoder,
    events: EventLog,
    starts: np.ndarray,
    stops: np.ndarray,
    device: torch.device,
) -> Tensor:
    """States `[n, D]` of the latest events of histories, on the processor.

    Args:
        encoder: In evaluation mode.
        events: What the positions are positions in.
        starts: `[n]`.
        stops: `[n]`, exclusive.
        device: Where the encoder is.
    """
    states = torch.zeros(len(starts), encoder.width)
    # Histories of like length together: next to no padding to read.
    order = np.argsort(stops - starts, kind="stable")
    for begin in range(0, len(order), _ENCODED_AT_A_TIME):
        rows = order[begin : begin + _ENCODED_AT_A_TIME]
        histories = gathered(events, starts[rows], stops[rows], encoder.history)
        states[torch.from_numpy(rows)] = encoder.embed(histories.to(device)).float().cpu()
    return states


def gathered(events: EventLog, starts: np.ndarray, stops: np.ndarray, most: int) -> HistoryBatch:
    """Histories, as wide as the longest of them, each cut to its latest `most` events."""
    return events.gather(starts, stops, int(min(most, (stops - starts).max())))


def state_batches(
    states: Tensor, shares: Tensor, batch_size: int, seed: int
) -> Iterator[LabelExamples]:
    """Shuffled batches of known states `[n, D]`, for ever; all of the same size."""
    for rows in _shuffled(np.zeros(len(states)), batch_size, seed):
        chosen = torch.from_numpy(rows)
        yield LabelExamples(states[chosen], shares[chosen])


def history_batches(
    events: EventLog,
    starts: np.ndarray,
    stops: np.ndarray,
    shares: Tensor,
    most: int,
    batch_size: int,
    seed: int,
) -> Iterator[LabelExamples]:
    """Shuffled batches of histories, for ever; histories of a batch are of like length."""
    for rows in _shuffled(np.minimum(stops - starts, most), batch_size, seed):
        histories = gathered(events, starts[rows], stops[rows], most)
        yield LabelExamples(histories, shares[torch.from_numpy(rows)])


def _shuffled(lengths: np.ndarray, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Positions of examples, for ever, a batch of like length at a time.

    What is left of an epoch when it is cut into batches comes in the next ones: of an epoch of n
    examples, n // B batches are taken, and which examples stay out changes with every epoch.
    """
    size = min(batch_size, len(lengths))
    for epoch in itertools.count():
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(lengths))
        order = order[: len(order) // size * size]
        order = order[np.argsort(lengths[order], kind="stable")]
        for batch in rng.permutation(len(order) // size):
            yield order[batch * size : (batch + 1) * size]
