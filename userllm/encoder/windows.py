"""Training batches without end: windows of users' histories, cut anew in every epoch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from benchmark.events import EventLog, Windows, cut_windows
from benchmark.types import HistoryBatch


def endless_windows(
    log: EventLog, length: int, batch_size: int, seed: int, *, by_events: bool = False
) -> tuple[Iterator[HistoryBatch], int]:
    """Shuffled batches of windows, for ever.

    Every epoch cuts the histories at other places (see `cut_windows`). A batch is as long as its
    longest window, not longer.

    Args:
        log: Events to cut.
        length: Most events a window holds: `L + 1` for `L` inputs, each with a target.
        batch_size: Windows in a batch, at most as many as an epoch has. What is left of an epoch
            opens the next one's first batch, so every batch is full and no window is dropped.
        seed: Seed of cuts and order.
        by_events: Put windows of like length together, as many as hold about the same number of
            events as `batch_size` windows do on average: there is next to no padding to compute,
            and every batch has about as many targets.

    Returns:
        The batches, and the number of windows of the first epoch (later ones differ by a few).

    Raises:
        ValueError: No user has two events.
    """
    first = _cut(log, length, seed, 0)
    if len(first) == 0:
        raise ValueError("no user has two events, so there is nothing to learn from")
    batches = _even_batches if by_events else _full_batches
    return batches(first, min(batch_size, len(first)), seed), len(first)


def targets_per_window(log: EventLog, windows: int) -> float:
    """Mean number of targets in a window: every event but a user's first, over the windows."""
    return float(np.maximum(log.lengths - 1, 0).sum() / windows)


def picked_per_window(log: EventLog, length: int, positions: int) -> float:
    """Mean number of targets in a window of which at most `positions` are picked."""
    windows = cut_windows(log, length)
    return float(np.minimum(windows.stops - windows.starts - 1, positions).mean())


def _cut(log: EventLog, length: int, seed: int, epoch: int) -> Windows:
    return cut_windows(log, length, rng=np.random.default_rng([seed, epoch]))


def _shuffle(seed: int, epoch: int) -> np.random.Generator:
    # A stream of its own, so that order and cuts do not share random numbers.
    return np.random.default_rng([seed, epoch, 1])


def _gather(log: EventLog, starts: np.ndarray, stops: np.ndarray) -> HistoryBatch:
    return log.gather(starts, stops, int((stops - starts).max()))


def _full_batches(windows: Windows, batch_size: int, seed: int) -> Iterator[HistoryBatch]:
    log, length = windows.log, windows.length
    starts = stops = np.zeros(0, dtype=np.int64)
    for epoch in itertools.count():
        if epoch:
            windows = _cut(log, length, seed, epoch)
        order = _shuffle(seed, epoch).permutation(len(windows))
        starts = np.concatenate([starts, windows.starts[order]])
        stops = np.concatenate([stops, windows.stops[order]])
        whole = len(starts) // batch_size * batch_size
        for begin in range(0, whole, batch_size):
            part = slice(begin, begin + batch_size)
            yield _gather(log, starts[part], stops[part])
        starts, stops = starts[whole:], stops[whole:]


def _even_batches(windows: Windows, batch_size: int, seed: int) -> Iterator[HistoryBatch]:
    log, length = windows.log, windows.length
    for epoch in itertools.count():
        if epoch:
            windows = _cut(log, length, seed, epoch)
        rng = _shuffle(seed, epoch)
        order = rng.permutation(len(windows))
        lengths = (windows.stops - windows.starts)[order]
        by_length = np.argsort(lengths, kind="stable")  # windows of one length stay shuffled
        order, lengths = order[by_length], lengths[by_length]
        count = max(1, round(len(windows) / batch_size))
        before = np.cumsum(lengths) - lengths
        batch_of = before * count // lengths.sum()
        parts = np.split(order, np.flatnonzero(np.diff(batch_of)) + 1)
        for part in rng.permutation(len(parts)):
            chosen = parts[part]
            yield _gather(log, windows.starts[chosen], windows.stops[chosen])
