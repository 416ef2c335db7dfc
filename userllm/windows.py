"""Training batches without end: windows of users' histories, cut anew in every epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmark.events import EventLog, Windows, cut_windows
from benchmark.types import HistoryBatch


def endless_windows(
    log: EventLog, length: int, batch_size: int, seed: int
) -> tuple[Iterator[HistoryBatch], int]:
    """Shuffled batches of windows, for ever.

    Every epoch cuts the histories at other places (see `cut_windows`). What is left of an epoch
    opens the next one's first batch, so every batch is full and no window is dropped. A batch is
    as long as its longest window, not longer.

    Args:
        log: Events to cut.
        length: Most events a window holds: `L + 1` for `L` inputs, each with a target.
        batch_size: Windows in a batch, at most as many as an epoch has.
        seed: Seed of cuts and order.

    Returns:
        The batches, and the number of windows of the first epoch (later ones differ by a few).

    Raises:
        ValueError: No user has two events.
    """
    first = _cut(log, length, seed, 0)
    if len(first) == 0:
        raise ValueError("no user has two events, so there is nothing to learn from")
    return _batches(first, min(batch_size, len(first)), seed), len(first)


def targets_per_window(log: EventLog, windows: int) -> float:
    """Mean number of targets in a window: every event but a user's first, over the windows."""
    return float(np.maximum(log.lengths - 1, 0).sum() / windows)


def _cut(log: EventLog, length: int, seed: int, epoch: int) -> Windows:
    return cut_windows(log, length, rng=np.random.default_rng([seed, epoch]))


def _batches(windows: Windows, batch_size: int, seed: int) -> Iterator[HistoryBatch]:
    log, length = windows.log, windows.length
    starts = stops = np.zeros(0, dtype=np.int64)
    epoch = 0
    while True:
        # A stream of its own, so that order and cuts do not share random numbers.
        order = np.random.default_rng([seed, epoch, 1]).permutation(len(windows))
        starts = np.concatenate([starts, windows.starts[order]])
        stops = np.concatenate([stops, windows.stops[order]])
        whole = len(starts) // batch_size * batch_size
        for begin in range(0, whole, batch_size):
            part = slice(begin, begin + batch_size)
            longest = int((stops[part] - starts[part]).max())
            yield log.gather(starts[part], stops[part], longest)
        starts, stops = starts[whole:], stops[whole:]
        epoch += 1
        windows = _cut(log, length, seed, epoch)
