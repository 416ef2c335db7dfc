"""What the variants of an ablation reach, and how far that is from the reference. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.errors import UserError
from benchmark.metrics.significance import bootstrap_interval, paired_interval
from benchmark.records.example_files import read_by_hash
from benchmark.records.results import Row, RunRecord

if TYPE_CHECKING:
    import pandas as pd

NLL = "nll"
"""Mean negative log-likelihood of the targets in nats, where a method has a distribution."""


@dataclass(frozen=True)
class Estimate:
    """A mean over users and its 95% bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Outcome:
    """One variant of an ablation on one task, averaged over seeds.

    Attributes:
        axes: Axis → value.
        reference: Whether the others are compared with it.
        rows: Its cells, one a seed.
        metrics: Metric → mean; `nll` among them where all targets have a likelihood.
        differences: Metric → mean difference to the reference over the seeds that both finished,
            paired by user; none for the reference itself.
    """

    axes: Mapping[str, str]
    reference: bool
    rows: tuple[Row, ...]
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    differences: Mapping[str, Estimate] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How tables and figures call it."""
        return ", ".join(f"{axis}={value}" for axis, value in self.axes.items())

    @property
    def finished(self) -> tuple[Row, ...]:
        """The cells that have a record."""
        return tuple(row for row in self.rows if row.record is not None)

    @property
    def failure(self) -> str:
        """`n/a` or `error` where no seed has finished, else ""."""
        if self.finished:
            return ""
        return "n/a" if all(row.na for row in self.rows) else "error"

    @property
    def training_seconds(self) -> float:
        """Seconds of training, mean over seeds."""
        seconds = [row.record.fit.seconds for row in self.rows if row.record]
        return sum(seconds) / len(seconds)

    @property
    def trained_parameters(self) -> int:
        """Parameters that training changed."""
        return max(row.record.fit.trained_parameters for row in self.rows if row.record)

    def to_json(self) -> dict[str, Any]:
        """The outcome as `--json` prints it; its cells are rows as `run` prints them."""
        first = self.rows[0]
        shown: dict[str, Any] = {
            "dataset": first.dataset,
            "task": first.task,
            "method": first.method,
            "preset": first.preset,
            "axes": dict(self.axes),
            "default": self.reference,
            "seeds": [row.seed for row in self.finished],
        }
        for key in ("na", "error"):
            reasons = dict.fromkeys(getattr(row, key) for row in self.rows)
            said = "; ".join(filter(None, reasons))
            shown |= {key: said} if said else {}
        if self.finished:
            shown |= {
                "metrics": {name: own.value for name, own in self.metrics.items()},
                "intervals": {name: [own.low, own.high] for name, own in self.metrics.items()},
                "difference": {name: vars(own) for name, own in self.differences.items()},
                "training_seconds": self.training_seconds,
                "trained_parameters": self.trained_parameters,
            }
        return shown | {"cells": [row.to_json() for row in self.rows]}


def compare(rows: Sequence[Row]) -> list[Outcome]:
    """The outcomes of one task: rows of equal axes belong together.

    Args:
        rows: Rows of one task; those of the reference come first.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.axes.items()), []).append(row)
    reference, *others = groups.values()
    base = {row.seed: row for row in reference}
    outcomes = [Outcome(reference[0].axes, True, tuple(reference), _means(reference))]
    for members in others:
        pairs = [(row, base[row.seed]) for row in members if row.record and base[row.seed].record]
        outcomes.append(
            Outcome(members[0].axes, False, tuple(members), _means(members), _differences(pairs))
        )
    return outcomes


def mean_a_user(rows: Sequence[Row], metric: str) -> pd.Series[float] | None:
    """A metric of each user, averaged over finished rows.

    Returns:
        Values by user; None where an examples file is lost, lacks the metric or a value, or where
        the rows are not about the same users.
    """
    import pandas as pd

    columns = []
    for row in rows:
        column = _read(row, metric)
        if column is None:
            return None
        columns.append(column)
    if not columns:
        return None
    joined = pd.concat(columns, axis=1, join="inner")
    if joined.empty or any(len(column) != len(joined) for column in columns):
        return None
    return joined.mean(axis=1)


def _read(row: Row, metric: str) -> pd.Series[float] | None:
    import pandas as pd

    name = "target_logprob" if metric == NLL else metric
    if row.path is None or row.record is None:
        return None
    try:
        examples = read_by_hash(row.path, row.record.dataset.fingerprint)
    except UserError:
        return None
    if name not in examples.columns or not np.isfinite(examples[name].to_numpy()).all():
        return None
    values = pd.Series(examples[name].to_numpy(), index=examples["user"].to_list(), dtype=float)
    values = values.rename_axis("user").sort_index()
    return -values if metric == NLL else values


def _means(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Of one seed its record's own numbers; of several the bootstrap of each user's mean."""
    finished = [row for row in rows if row.record]
    found = {}
    for metric in _metrics(finished):
        values = mean_a_user(finished, metric)
        if values is not None and (len(finished) > 1 or metric == NLL):
            low, high = bootstrap_interval(values.to_numpy())
            found[metric] = Estimate(float(values.mean()), low, high)
        elif metric != NLL:
            found[metric] = stated([row.record for row in finished if row.record], metric)
    return found


def stated(records: Sequence[RunRecord], metric: str) -> Estimate:
    """The mean of what records say, where their examples are of no use."""
    lines = []
    for record in records:
        value = record.metrics[metric]
        lines.append((value, *record.intervals.get(metric, (value, value))))
    return Estimate(*(sum(column) / len(column) for column in zip(*lines, strict=True)))


def _differences(pairs: Sequence[tuple[Row, Row]]) -> dict[str, Estimate]:
    found = {}
    for metric in _metrics([row for pair in pairs for row in pair]):
        own = mean_a_user([row for row, _ in pairs], metric)
        other = mean_a_user([row for _, row in pairs], metric)
        if own is None or other is None or not own.index.equals(other.index):
            continue
        low, high = paired_interval(own.to_numpy(), other.to_numpy())
        found[metric] = Estimate(float((own - other).mean()), low, high)
    return found


def _metrics(rows: Sequence[Row]) -> list[str]:
    """What all of some finished rows measure, and `nll`."""
    first, *others = [row.record.metrics for row in rows if row.record] or [{}]
    return [*(name for name in first if all(name in other for other in others)), NLL]
