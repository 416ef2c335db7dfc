"""Slices of the users: who they are, before anybody answers.

Each slicing splits the users by one fact that examples state. Popularity and history length have
no natural borders: there the users are cut into thirds, ties kept together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from benchmark.evidence.contestants import Contestant, Group
from benchmark.metrics.significance import bootstrap_interval, paired_interval
from benchmark.records.differences import Estimate

FEWEST = 10
"""Slices of fewer users are not shown: their intervals would say nothing."""
_DAY = 86_400
_GAPS = (
    ("same second (tied)", 0),
    ("within an hour", 3600),
    ("within a day", _DAY),
    ("within 30 days", 30 * _DAY),
)


@dataclass(frozen=True)
class Line:
    """One slice of the users under one contestant.

    Attributes:
        slicing: What the users are split by.
        slice: Which of them.
        users: How many.
        label: The contestant.
        mean: Of the metric, with its 95% interval.
        difference: To the reference, paired; None for the reference itself.
    """

    slicing: str
    slice: str
    users: int
    label: str
    mean: Estimate
    difference: Estimate | None


def slices_of(users: pl.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Slicing → slice → `BoolArray[n]`, of the facts that the columns state.

    Args:
        users: `Contestant.averaged`.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for slicing, column, cut in _SLICINGS:
        if column in users.columns and not users[column].null_count():
            parts = cut(users[column].to_numpy())
            kept = {name: inside for name, inside in parts.items() if inside.any()}
            if len(kept) > 1:
                found[slicing] = kept
    return found


def slice_lines(group: Group, metric: str, reference: Contestant | None = None) -> list[Line]:
    """A metric in every slice, of every contestant that has it.

    Args:
        group: Who was asked.
        metric: One with a value a user.
        reference: Whom the others are compared with; the first contestant where None.
    """
    able = [own for own in group.contestants if own.per_user(metric) is not None]
    if not able:
        return []
    reference = reference if reference in able else able[0]
    assert reference is not None
    base = reference.per_user(metric)
    lines = []
    for slicing, parts in slices_of(reference.averaged).items():
        for name, inside in parts.items():
            count = int(inside.sum())
            if count < FEWEST:
                continue
            for own in able:
                values = own.per_user(metric)
                assert values is not None
                assert base is not None
                mean = Estimate(float(values[inside].mean()), *bootstrap_interval(values[inside]))
                apart = None
                if own is not reference:
                    low, high = paired_interval(values[inside], base[inside])
                    apart = Estimate(float((values - base)[inside].mean()), low, high)
                lines.append(Line(slicing, name, count, own.label, mean, apart))
    return lines


def thirds(values: np.ndarray, unit: str) -> dict[str, np.ndarray]:
    """The users cut into thirds, equal values kept together.

    Args:
        values: `[n]` whole numbers.
        unit: What is counted.
    """
    if not len(values):
        return {}
    lower, upper = np.quantile(values, [1 / 3, 2 / 3], method="lower")
    parts = {
        "least": values <= lower,
        "middle": (values > lower) & (values <= upper),
        "most": values > upper,
    }
    named = {}
    for inside in parts.values():
        if inside.any():
            low, high = int(values[inside].min()), int(values[inside].max())
            span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
            named[f"{span} {unit}"] = inside
    return named


def _popularity(values: np.ndarray) -> dict[str, np.ndarray]:
    """Cold targets apart, the others in thirds."""
    warm = values > 0
    parts = {"cold: in no training event": ~warm}
    for name, inside in thirds(values[warm], "training events").items():
        every = np.zeros(len(values), dtype=bool)
        every[np.flatnonzero(warm)[inside]] = True
        parts[name] = every
    return parts


def _gaps(values: np.ndarray) -> dict[str, np.ndarray]:
    parts, before = {}, -1
    for name, until in _GAPS:
        parts[name] = (values > before) & (values <= until)
        before = until
    parts["later"] = values > before
    return parts


_SLICINGS: tuple[tuple[str, str, Callable[[np.ndarray], Mapping[str, np.ndarray]]], ...] = (
    (
        "target",
        "target_popularity",
        lambda v: {"cold: in no training event": v == 0, "warm": v > 0},
    ),
    ("popularity of the target", "target_popularity", _popularity),
    ("length of the history", "history_events", lambda v: thirds(v, "events")),
    ("time since the event before", "gap_seconds", _gaps),
    ("timestamp", "gap_seconds", lambda v: {"tied with the event before": v == 0, "later": v > 0}),
)
