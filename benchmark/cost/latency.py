"""Seconds of an answer, one user at a time, and answers a second in batches."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmark.cost.config import CostSettings

_WARM_UP = 2
_FEWEST_FOR_P95 = 20


@dataclass
class Timing:
    """What was timed.

    Attributes:
        single: Seconds of every answer to one user, in the order of the users, round by round.
        batches: Seconds of every batch, by its size; one user's among them.
    """

    single: list[float] = field(default_factory=list)
    batches: dict[int, list[float]] = field(default_factory=dict)

    @property
    def median_seconds(self) -> float:
        """Median of one user at a time."""
        return float(np.median(self.single))

    @property
    def p95_seconds(self) -> float | None:
        """95th percentile of one user at a time; None of so few that it would be their most."""
        if len(self.single) < _FEWEST_FOR_P95:
            return None
        return float(np.percentile(self.single, 95))

    @property
    def best(self) -> tuple[float, int]:
        """Most answers a second by the median of a batch size, and that size."""
        rates = {size: size / float(np.median(own)) for size, own in self.batches.items()}
        rates[1] = 1 / self.median_seconds
        size = max(rates, key=lambda own: rates[own])
        return rates[size], size


def time_answers(
    prepare: Callable[[np.ndarray], Callable[[], object]],
    users: np.ndarray,
    settings: CostSettings,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Times answers after some that warm up: users in turn, then a batch of each size, in rounds.

    Rounds stand one behind the other, so that what slows the machine for a while falls on every
    user and size alike. The first round is finished whatever it takes.

    Args:
        prepare: Gets `[B]` users and returns what asks about them; only the latter is timed.
        users: `[n]` users; a larger batch holds some of them several times.
        settings: How long and how often.
        clock: Seconds; must not return before the device has finished.
    """
    timing = Timing()
    questions = [prepare(users[place : place + 1]) for place in range(len(users))]
    for ask in questions[:_WARM_UP]:
        ask()
    batches = {}
    for size in (own for own in settings.batch_sizes if own > 1):
        ask = prepare(np.resize(users, size))
        with contextlib.suppress(RuntimeError, MemoryError):  # too many for the memory
            ask()
            batches[size] = ask
    end = clock() + settings.seconds
    for number, (size, ask) in enumerate(_rounds(questions, batches, settings.repetitions)):
        if number >= len(questions) and clock() > end:
            break
        begin = clock()
        ask()
        seconds = clock() - begin
        (timing.single if size == 1 else timing.batches.setdefault(size, [])).append(seconds)
    return timing


def _rounds(
    questions: Sequence[Callable[[], object]],
    batches: dict[int, Callable[[], object]],
    repetitions: int,
) -> Iterator[tuple[int, Callable[[], object]]]:
    for _ in range(repetitions):
        yield from ((1, ask) for ask in questions)
        yield from batches.items()
