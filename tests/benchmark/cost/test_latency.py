"""Timing with a clock that tests turn by hand."""

from __future__ import annotations

import numpy as np

from benchmark.cost.config import CostSettings
from benchmark.cost.latency import Timing, time_answers


class Clock:
    """Goes on by what an answer takes: a second a user, less in a batch."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[list[int]] = []

    def __call__(self) -> float:
        return self.now

    def prepare(self, rows: np.ndarray):
        def ask() -> None:
            self.asked.append(rows.tolist())
            self.now += (1.0 + rows[0] / 8) if len(rows) == 1 else 0.5 * len(rows)

        return ask


def timed(**settings: object) -> tuple[Timing, Clock]:
    clock = Clock()
    own = CostSettings(**{"seconds": 1000, "batch_sizes": (4,), "repetitions": 2, **settings})
    return time_answers(clock.prepare, np.array([0, 1, 2]), own, clock), clock


def test_rounds_are_interleaved_behind_a_warm_up() -> None:
    timing, clock = timed()
    a_round = [[0], [1], [2], [0, 1, 2, 0]]
    assert clock.asked == [[0], [1], a_round[-1], *a_round, *a_round]
    assert timing.single == [1.0, 1.125, 1.25, 1.0, 1.125, 1.25]
    assert timing.batches == {4: [2.0, 2.0]}


def test_median_percentile_and_the_best_batch() -> None:
    timing, _ = timed()
    assert timing.median_seconds == 1.125
    assert timing.p95_seconds is None  # of six answers it would be the slowest
    assert timing.best == (2.0, 4)


def test_the_first_round_of_users_is_finished_whatever_it_takes() -> None:
    timing, _ = timed(seconds=0.001)
    assert len(timing.single) == 3
    assert timing.best[1] == 1


def test_of_many_answers_the_95th_percentile_is_told() -> None:
    timing, _ = timed(repetitions=10)
    assert timing.p95_seconds == np.percentile([1.0, 1.125, 1.25] * 10, 95)


def test_a_batch_that_is_too_large_is_left_out() -> None:
    clock = Clock()

    def prepare(rows: np.ndarray):
        def fail() -> None:
            raise MemoryError

        return fail if len(rows) > 4 else clock.prepare(rows)

    settings = CostSettings(seconds=1000, batch_sizes=(4, 32), repetitions=1)
    assert set(time_answers(prepare, np.array([0, 1]), settings, clock).batches) == {4}
