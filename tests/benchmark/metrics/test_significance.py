import tracemalloc

import numpy as np
import pytest
from scipy import stats

from benchmark.metrics.significance import bootstrap_interval


@pytest.mark.parametrize("kind", ["hits", "values"])
def test_it_is_the_percentile_bootstrap(kind):
    rng = np.random.default_rng(3)
    values = rng.random(300) if kind == "values" else (rng.random(300) < 0.2).astype(float)
    ours = bootstrap_interval(values, samples=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=1, batch=1000
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.05 * width)
    assert ours[0] < values.mean() < ours[1]


def test_it_holds_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(300):
        low, high = bootstrap_interval((rng.random(400) < 0.2) * 1.0, samples=500, seed=trial)
        held += low <= 0.2 <= high
    assert 0.90 < held / 300 < 0.99


def test_seeded_and_independent_of_order():
    values = np.random.default_rng(1).random(50)
    assert bootstrap_interval(values, seed=5) == bootstrap_interval(values[::-1], seed=5)
    assert bootstrap_interval(values, seed=5) != bootstrap_interval(values, seed=6)


def test_one_value_has_no_width():
    assert bootstrap_interval(np.zeros(10)) == (0.0, 0.0)


def test_no_values():
    for wrong in (np.array([]), np.array([1.0, np.nan])):
        with pytest.raises(ValueError, match="values"):
            bootstrap_interval(wrong)


def test_many_users_take_little_memory():
    ranks = np.random.default_rng(0).integers(0, 11, 200_000)
    values = np.where(ranks > 0, 1 / np.maximum(ranks, 1), 0.0)
    tracemalloc.start()
    try:
        bootstrap_interval(values, samples=2000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Every user drawn anew 2,000 times would be 3.2 GB, and seconds of work.
    assert peak < 50e6
