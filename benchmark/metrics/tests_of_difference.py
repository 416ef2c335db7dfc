"""Whether a difference between two methods on the same users is more than chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import optimize, stats

_CELLS = 2_000_000
"""Most signs that are drawn at a time."""
_MANY, _SIZES = 50_000, 32
"""Draws from which on, and sizes of differences up to which, signs are drawn by size."""
_ADDED, _AT = 4, float(stats.norm.isf(0.05))
"""Users that the cautious interval adds, half of them gained, half lost; and at which deviate."""
_FARTHEST = 30.0
"""Deviate behind which a p-value is 0."""


def sign_flip_test(differences: np.ndarray, *, samples: int = 9999, seed: int = 0) -> float:
    """Paired permutation test: had either method made either answer, how far would the mean be?

    Under the hypothesis that the two methods are exchangeable user by user, each difference could
    as well have the other sign. The two-sided p-value is that of `scipy.stats.permutation_test`:
    exact where few users differ, else of random signs, the observed ones counted among them. Users
    without a difference change no sum and are left out of the drawing.

    Args:
        differences: One value a user, `[n]`.
        samples: Random draws of signs.
        seed: Seed of the drawing.

    Returns:
        The p-value; 1 where nobody differs.

    Raises:
        ValueError: No users, or a value that is no number.
    """
    if not len(differences) or not np.isfinite(differences).all():
        raise ValueError("a test needs values, all of them numbers")
    apart = np.sort(differences[differences != 0])  # the same draws in whatever order users stand
    if len(apart) < 2:  # one sign says nothing, and scipy wants two values
        return 1.0
    if samples >= _MANY and 2 ** min(len(apart), 60) > samples:
        sizes, counts = np.unique(np.abs(apart).round(9), return_counts=True)
        if len(sizes) <= _SIZES:
            return _by_size(float(apart.sum()), sizes, counts, samples, seed)
    found = stats.permutation_test(
        (apart,),
        lambda values, axis: values.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=samples,
        batch=max(1, _CELLS // len(apart)),
        rng=np.random.default_rng(seed),
    )
    return float(min(1.0, found.pvalue))


def _by_size(
    observed: float, sizes: np.ndarray, counts: np.ndarray, samples: int, seed: int
) -> float:
    """The same test where differences have few sizes: how many of each are positive is binomial."""
    positive = np.random.default_rng(seed).binomial(counts, 0.5, size=(samples, len(counts)))
    sums = (2 * positive - counts) @ sizes
    near = 1e-6 * float(sizes.min())  # sums are equal but for rounding
    tails = [(sums <= observed + near).sum(), (sums >= observed - near).sum()]
    return float(min(1.0, 2 * (min(tails) + 1) / (samples + 1)))


def mcnemar_test(first: np.ndarray, second: np.ndarray) -> float:
    """McNemar's exact test of two methods that are right or wrong about the same users.

    Of the users whom exactly one of the two gets right, each should get half.

    Args:
        first: `[n]` 1 = right, 0 = wrong.
        second: `[n]`, of the same users.

    Returns:
        The two-sided p-value of the binomial test; 1 where both are right about the same users.

    Raises:
        ValueError: Not the same number of users, or a value that is neither 0 nor 1.
    """
    if first.shape != second.shape:
        raise ValueError(f"pairs are needed: {first.shape} and {second.shape} do not match")
    if not (np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all()):
        raise ValueError("McNemar's test is about answers that are right or wrong: 0 and 1")
    gained, lost = int((first > second).sum()), int((first < second).sum())
    if not gained + lost:
        return 1.0
    return float(stats.binomtest(gained, gained + lost).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for being many, after Holm (1979), in the order they came.

    The k-th smallest of m is multiplied by m - k + 1 and is no less than the one before: rejecting
    what stays below 5% is wrong anywhere in the family in at most 5% of the cases, however the
    tests depend on each other.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    ranked = np.asarray(p_values, dtype=float)[order]
    factors = np.arange(len(ranked), 0, -1)
    corrected = np.empty(len(ranked))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(ranked * factors))
    return [float(p) for p in corrected]


def detectable_difference(
    differences: np.ndarray, *, significance: float = 0.05, power: float = 0.8
) -> float:
    r"""Smallest mean difference that a test on as many such users would find.

    $(z_{1-\alpha/2} + z_{\mathrm{power}})\, s / \sqrt{n}$, with the standard deviation s of the
    differences at hand; but a mean of $\delta$ needs users who differ. Where those at hand differ
    by a, as the mean of squares over the mean of sizes has it, $\delta$ brings a variance of at
    least $a\delta - \delta^2$: where few users differ, that is what bounds it.

    Args:
        differences: One value a user, `[n]`.
        significance: Level of the two-sided test.
        power: How often it should find the difference.

    Returns:
        In the unit of the differences; NaN for fewer than two users. Where nobody differs, as if
        those who would did by 1.
    """
    count = len(differences)
    if count < 2:
        return float("nan")
    reach = float(stats.norm.isf(significance / 2) + stats.norm.ppf(power))
    sizes = float(np.abs(differences).sum())
    apart = float(np.square(differences).sum()) / sizes if sizes else 1.0
    of_spread = reach * float(np.std(differences, ddof=1)) / np.sqrt(count)
    return float(max(of_spread, apart * reach**2 / (count + reach**2)))


def cautious_interval(differences: np.ndarray, *, confidence: float = 0.9) -> tuple[float, float]:
    r"""Interval of a mean difference that stays honest where few users differ.

    The bootstrap never draws what it has not seen: of users without a difference it is a point.
    This is an adjusted Wald interval as that of Bonett and Price (2012) for paired proportions,
    applied to any differences in -1..1. They add one user who gained 1 and one who lost 1; two of
    each are added here at 90%, as one still calls a difference at the margin equivalent too often.
    At other levels as many more or fewer as $z^2$ says, or far tails would be too sure.

    Args:
        differences: One value in -1..1 a user, `[n]`.
        confidence: How often it should hold the true mean.

    Returns:
        Lower and upper bound.
    """
    mean, reach = _cautious(differences, float(stats.norm.isf((1 - confidence) / 2)))
    return mean - reach, mean + reach


def equivalence_test(differences: np.ndarray, margin: float) -> float:
    """Two one-sided tests whether a mean difference lies within a margin of 0.

    Below a level where the `cautious_interval` of confidence 1 minus twice that level lies within
    the margin.

    Args:
        differences: One value in -1..1 a user, `[n]`.
        margin: Above 0.

    Returns:
        The larger of the two p-values; 1 where the mean itself is not within the margin.
    """

    def beyond(deviate: float) -> float:
        mean, reach = _cautious(differences, deviate)
        return abs(mean) + reach - margin

    if beyond(0.0) >= 0:
        return 1.0
    if beyond(_FARTHEST) <= 0:
        return 0.0
    return float(stats.norm.sf(optimize.brentq(beyond, 0.0, _FARTHEST)))


def _cautious(differences: np.ndarray, deviate: float) -> tuple[float, float]:
    """Middle of the cautious interval, and how far it reaches at a deviate of the normal."""
    added = _ADDED * (deviate / _AT) ** 2
    count = len(differences) + added
    mean = float(np.sum(differences)) / count
    variance = (float(np.sum(np.square(differences))) + added) / count - mean**2
    return mean, deviate * float(np.sqrt(max(0.0, variance) / count))
