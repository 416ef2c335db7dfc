"""Histories with one thing wrong: another user's, out of order, empty, or without a feature.

Targets, and the items that are left out of the ranking, stay those of the user who is asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields

import numpy as np
import torch

from benchmark.data.histories import Examples
from benchmark.types import HistoryBatch

Change = Callable[[HistoryBatch, slice], HistoryBatch]
"""From the histories of some examples, and which these are, to what the method gets instead."""


@dataclass(frozen=True)
class ChangedExamples(Examples):
    """Examples whose histories reach the method changed."""

    change: Change = field(kw_only=True)

    def batches(
        self, batch_size: int, history_length: int, *, written: bool = False
    ) -> Iterator[tuple[slice, HistoryBatch]]:
        """See `Examples.batches`."""
        for rows, histories in super().batches(batch_size, history_length, written=written):
            yield rows, self.change(histories, rows)


def changed(examples: Examples, change: Change) -> ChangedExamples:
    """The examples, asked with changed histories."""
    parts = {own.name: getattr(examples, own.name) for own in fields(Examples)}
    return ChangedExamples(**parts, change=change)


def derangement(count: int, seed: int) -> np.ndarray:
    """A random permutation `[count]` that leaves nothing in its place.

    Raises:
        ValueError: There are fewer than two things.
    """
    if count < 2:
        raise ValueError("one user has nobody to swap with")
    order = np.random.default_rng(seed).permutation(count)
    partner = np.empty(count, dtype=np.int64)
    partner[order] = np.roll(order, 1)  # one cycle through all
    return partner


def swap_user(examples: Examples, seed: int) -> Change:
    """Everybody gets the history of another user of the same part, nobody their own.

    Raises:
        ValueError: There is one user alone.
    """
    partner = derangement(len(examples), seed)

    def change(histories: HistoryBatch, rows: slice) -> HistoryBatch:
        other, length = partner[rows], histories.mask.shape[1]
        return examples.log.gather(examples.starts[other], examples.stops[other], length)

    return change


def shuffle_order(seed: int) -> Change:
    """The events that the method reads, in a random order; a user's order is that of any batch."""

    def change(histories: HistoryBatch, rows: slice) -> HistoryBatch:
        order = torch.arange(histories.mask.shape[1]).repeat(len(histories), 1)
        for row, length in enumerate(histories.lengths.tolist()):
            rng = np.random.default_rng((seed, rows.start + row))
            order[row, :length] = torch.from_numpy(rng.permutation(length))
        places = torch.arange(len(histories)).unsqueeze(1)
        features = {name: value[places, order] for name, value in histories.features.items()}
        return HistoryBatch(features, histories.mask, histories.users)

    return change


def empty_history(histories: HistoryBatch, rows: slice) -> HistoryBatch:
    """No event, and nobody known."""
    features = {name: torch.zeros_like(value) for name, value in histories.features.items()}
    users = None if histories.users is None else torch.zeros_like(histories.users)
    return HistoryBatch(features, torch.zeros_like(histories.mask), users)


def drop_feature(name: str) -> Change:
    """A feature unknown at every event; the events stay."""

    def change(histories: HistoryBatch, rows: slice) -> HistoryBatch:
        unknown = torch.zeros_like(histories.features[name])
        return HistoryBatch({**histories.features, name: unknown}, histories.mask, histories.users)

    return change
