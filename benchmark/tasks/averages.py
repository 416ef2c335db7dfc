"""Means over users with their intervals, of all users and of groups of them. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmark.metrics.significance import bootstrap_interval
from benchmark.tasks.config import TaskSettings


def averaged(
    values: Mapping[str, np.ndarray], groups: Mapping[str, np.ndarray], settings: TaskSettings
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Means and intervals of metrics, over all users and over groups of them.

    Args:
        values: `[n]` values a metric; NaN = not defined for this user, who is left out.
        groups: `BoolArray[n]` a group; one that holds nobody or everybody says nothing new.
        settings: Of the bootstrap.

    Returns:
        Means, and 95% intervals, by `metric` and `metric/group`.
    """
    metrics: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for metric, column in values.items():
        defined = ~np.isnan(column)
        parts = {metric: defined}
        for group, inside in groups.items():
            if inside.any() and not inside.all():
                parts[f"{metric}/{group}"] = defined & inside
        for name, chosen in parts.items():
            if chosen.any():
                own = column[chosen]
                metrics[name] = float(own.mean())
                intervals[name] = bootstrap_interval(
                    own, samples=settings.bootstrap_samples, seed=settings.bootstrap_seed
                )
    return metrics, intervals
