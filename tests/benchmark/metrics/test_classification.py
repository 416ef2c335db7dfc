from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from benchmark.metrics.classification import macro_f1, macro_f1_interval


def test_worked_by_hand():
    right, said = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 0])
    # Label 0: 2 * 1 / (2 + 2); label 1: 2 * 2 / (2 + 3); label 2 is never said.
    assert macro_f1(right, said) == pytest.approx((0.5 + 0.8 + 0.0) / 3)


def test_a_label_that_is_only_said_counts_as_nothing():
    assert macro_f1(np.array([0, 0]), np.array([0, 7])) == pytest.approx((2 / 3 + 0) / 2)


def test_the_interval_is_that_of_a_plain_bootstrap():
    rng = np.random.default_rng(0)
    right = rng.choice(4, size=60, p=[0.6, 0.3, 0.08, 0.02])
    said = np.where(rng.random(60) < 0.6, right, rng.integers(0, 5, 60))
    low, high = macro_f1_interval(right, said, samples=4000)
    plain = []
    for _ in range(1000):
        rows = rng.integers(0, 60, 60)
        plain.append(f1_score(right[rows], said[rows], average="macro", zero_division=0))
    assert np.quantile(plain, [0.025, 0.975]) == pytest.approx([low, high], abs=0.03)
    assert low < macro_f1(right, said) < high


def test_who_is_always_right_leaves_no_doubt():
    right = np.array([0, 1, 1, 2])
    assert macro_f1(right, right) == 1
    assert macro_f1_interval(right, right) == (1, 1)


def test_nobody_has_no_f1():
    nobody = np.zeros(0, dtype=np.int64)
    for function in (macro_f1, macro_f1_interval):
        with pytest.raises(ValueError, match="at least one user"):
            function(nobody, nobody)
