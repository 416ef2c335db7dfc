"""Histories of any length: the latest events of real users, and drawn ones before them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from benchmark.data.histories import Examples
from benchmark.events import EventLog
from benchmark.schema import ITEM
from benchmark.types import HistoryBatch

_TOGETHER = 160_000
"""Events in a batch, about."""


def drawn_histories(
    examples: Examples, train: EventLog, length: int, seed: int
) -> Iterator[HistoryBatch]:
    """Batches of histories of one length, without padding.

    Where a user has fewer events, earlier ones are drawn: an item of the catalogue, each as likely
    as any other, with what is known of the item, and with the other features of some training
    event. What is drawn depends on seed and user; a longer history begins earlier.

    Args:
        examples: Whose histories.
        train: Training events.
        length: `L`, at least 1.
        seed: Of what is drawn.
    """
    log, together = examples.log, max(1, _TOGETHER // length)
    for begin in range(0, len(examples), together):
        rows = range(begin, min(begin + together, len(examples)))
        columns: dict[str, list[np.ndarray]] = {name: [] for name in log.schema.names}
        for row in rows:
            stop = examples.stops[row]
            start = max(examples.starts[row], stop - length)
            real = slice(start, stop)
            user = int(examples.users[row])
            items, events = _draw(length - int(stop - start), train, (seed, user))
            items = np.concatenate([items, log.items[real]])
            for name, column in columns.items():
                if name == ITEM:
                    column.append(items)
                elif name in log.columns:
                    drawn = train.columns[name][events]
                    column.append(np.concatenate([drawn, log.columns[name][real]]))
                else:
                    column.append(log.item_columns[name][items])
        features = {
            name: torch.from_numpy(np.stack(column).astype(np.int64))
            for name, column in columns.items()
        }
        yield HistoryBatch(features, torch.ones(len(rows), length, dtype=torch.bool))


def _draw(count: int, train: EventLog, seed: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Items and training events, oldest first: more of them begin earlier."""
    items, events = (np.random.default_rng((*seed, part)) for part in range(2))
    return (
        items.integers(1, train.schema.num_items + 1, count)[::-1],
        events.integers(0, train.num_events, count)[::-1],
    )
