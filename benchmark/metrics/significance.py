"""How sure a mean over users is."""

from __future__ import annotations

import numpy as np


def bootstrap_interval(
    values: np.ndarray, *, samples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean.

    Users are drawn with replacement, as many as there are, `samples` times; the interval holds
    the middle `confidence` of the means. Only how often each distinct value is drawn matters, and
    that is a multinomial variable: so it is drawn at once, which takes milliseconds for metrics
    with few distinct values, however many users there are.

    Args:
        values: One value a user, `[n]`.
        samples: Number of resamples.
        confidence: Share of the means inside the interval.
        seed: Seed of the resampling.

    Returns:
        Lower and upper bound.

    Raises:
        ValueError: No values, or one that is no number.
    """
    if not len(values) or not np.isfinite(values).all():
        raise ValueError("a bootstrap needs values, all of them numbers")
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) == 1:
        return float(distinct[0]), float(distinct[0])
    rng = np.random.default_rng(seed)
    share = counts / counts.sum()
    chunk = max(1, 4_000_000 // len(distinct))  # at most 32 MB of counts at a time
    means = [
        rng.multinomial(len(values), share, size=min(chunk, samples - done))
        @ distinct
        / len(values)
        for done in range(0, samples, chunk)
    ]
    return middle(np.concatenate(means), confidence)


def middle(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """Bounds of the middle share of some values.

    >>> middle(np.arange(101.0), 0.5)
    (25.0, 75.0)
    """
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def paired_interval(
    values: np.ndarray,
    reference: np.ndarray,
    *,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean difference over the same users.

    What two methods find equally hard about a user cancels, so that the interval is narrower than
    those of the two means suggest.

    Args:
        values: One value a user, `[n]`.
        reference: The same users' values under what is compared with, `[n]`.
        samples: Number of resamples.
        confidence: Share of the mean differences inside the interval.
        seed: Seed of the resampling.

    Returns:
        Lower and upper bound of the mean of `values - reference`.

    Raises:
        ValueError: Not the same number of users, no users, or a value that is no number.
    """
    if values.shape != reference.shape:
        raise ValueError(f"pairs are needed: {values.shape} and {reference.shape} do not match")
    return bootstrap_interval(values - reference, samples=samples, confidence=confidence, seed=seed)
