"""How well one label a user is said."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import f1_score

from benchmark.metrics.significance import middle

_CELLS = 4_000_000
"""Most counts that are held at a time."""


def macro_f1(right: np.ndarray, said: np.ndarray) -> float:
    r"""Mean over labels of F1: every label weighs the same, however rare it is.

    $\mathrm{F1}_c = 2\,\mathrm{tp}_c / (\mathrm{right}_c + \mathrm{said}_c)$. The labels are those
    that are right for somebody or said of somebody, as in scikit-learn.

    Args:
        right: `[n]` the right label of each user.
        said: `[n]` the label that was said.

    Raises:
        ValueError: There is nobody.
    """
    if not len(right):
        raise ValueError("F1 needs at least one user")
    return float(f1_score(right, said, average="macro", zero_division=0))


def macro_f1_interval(
    right: np.ndarray,
    said: np.ndarray,
    *,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of `macro_f1` over users.

    Users are drawn with replacement, as many as there are, `samples` times; of each draw the
    labels are those that are right for or said of somebody in it. Only how often each pair of
    right and said label is drawn matters, so that is drawn at once.

    Args:
        right: `[n]`.
        said: `[n]`.
        samples: Number of resamples.
        confidence: Share of the values inside the interval.
        seed: Seed of the resampling.

    Returns:
        Lower and upper bound.

    Raises:
        ValueError: There is nobody.
    """
    if not len(right):
        raise ValueError("F1 needs at least one user")
    pairs, counts = np.unique(np.stack([right, said]), axis=1, return_counts=True)
    rng = np.random.default_rng(seed)
    chunk = max(1, _CELLS // len(counts))
    share = counts / counts.sum()
    drawn = [
        _of_draws(pairs, rng.multinomial(len(right), share, min(chunk, samples - done)))
        for done in range(0, samples, chunk)
    ]
    return middle(np.concatenate(drawn), confidence)


def _of_draws(pairs: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """`macro_f1` of draws, `[S]`.

    Args:
        pairs: `[2, P]` distinct pairs of right and said label.
        drawn: `[S, P]` how often each was drawn.
    """
    labels = np.unique(pairs)
    is_right, is_said = (pair[:, None] == labels for pair in pairs)
    truth, guesses, hits = (
        drawn @ chosen.astype(np.float64) for chosen in (is_right, is_said, is_right & is_said)
    )
    f1 = 2 * hits / np.maximum(truth + guesses, 1)
    occurs = truth + guesses > 0
    return np.asarray((f1 * occurs).sum(axis=1) / occurs.sum(axis=1))
