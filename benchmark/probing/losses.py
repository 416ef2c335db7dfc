"""What is compared, user by user, and how much of it a probe costs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from benchmark.metrics.significance import paired_interval
from benchmark.probing.report import METRIC, NLL, Loss

Values = Mapping[str, np.ndarray]
"""Metric → one value a user, users in the order of their ids."""


def user_values(examples: pl.DataFrame) -> dict[str, np.ndarray]:
    """What is compared, by user; `nll` only where every target has a likelihood."""
    examples = examples.sort("user")
    values = {METRIC: examples[METRIC].to_numpy()} if METRIC in examples.columns else {}
    logprobs = examples["target_logprob"].fill_null(np.nan).to_numpy()
    if np.isfinite(logprobs).all():
        values[NLL] = -logprobs
    return values


def losses_of(values: Values, base: Values) -> dict[str, Loss]:
    """What was lost of each metric that both have, over the same users."""
    losses = {}
    for name in base:
        if name in values:
            pair = (values[name], base[name]) if name == NLL else (base[name], values[name])
            low, high = paired_interval(*pair)
            worse = float(pair[0].mean() - pair[1].mean())
            losses[name] = Loss(
                value=float(values[name].mean()), worse_by=worse, low=low, high=high
            )
    return losses
