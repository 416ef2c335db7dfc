"""Perplexity of held-out text."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.significance import middle


def perplexity(
    nll: np.ndarray,
    tokens: np.ndarray,
    *,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Perplexity a token, and its percentile bootstrap interval over lines.

    Args:
        nll: `[n]` negative log-likelihood of each line, summed over its tokens, nats.
        tokens: `[n]` tokens of each line.
        samples: Number of resamples.
        confidence: Share of the resampled perplexities inside the interval.
        seed: Seed of the resampling.

    Returns:
        The perplexity, the lower and the upper bound.

    Raises:
        ValueError: No line has a token.
        FloatingPointError: A likelihood is no number.
    """
    scored = tokens > 0
    nll, tokens = nll[scored].astype(np.float64), tokens[scored].astype(np.float64)
    if not len(nll):
        raise ValueError("perplexity needs a line with at least one token")
    if not np.isfinite(nll).all():
        raise FloatingPointError("the likelihood of a held-out line is no number")
    rng = np.random.default_rng(seed)
    share = np.full(len(nll), 1 / len(nll))
    chunk = max(1, 4_000_000 // len(nll))  # at most 32 MB of counts at a time
    ratios = []
    for done in range(0, samples, chunk):
        counts = rng.multinomial(len(nll), share, size=min(chunk, samples - done))
        ratios.append((counts @ nll) / (counts @ tokens))
    low, high = middle(np.concatenate(ratios), confidence)
    return float(np.exp(nll.sum() / tokens.sum())), float(np.exp(low)), float(np.exp(high))
