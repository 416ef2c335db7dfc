"""What a sweep found at each place, from records or by shapes alone. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmark.cost.facts import Cost
from benchmark.records.differences import Estimate, compare
from benchmark.records.results import Row, RunRecord

Place = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class CurvePoint:
    """One look at validation while training.

    Attributes:
        training_flops: Arithmetic of all stages up to it.
        value: What was watched.
    """

    training_flops: float
    value: float


@dataclass(frozen=True)
class Point:
    """One method at one place of the axes, averaged over seeds.

    Attributes:
        method: Its name.
        axes: Axis → value.
        cost: A mean over seeds; of a method without a language model its tokens are None.
        metrics: Metric → mean with its interval; none by shapes alone.
        curve: Looks of the last stage of the first seed.
        rows: The cells behind it; none by shapes alone.
        na: Why there is nothing, "" where there is.
    """

    method: str
    axes: Mapping[str, float]
    cost: Cost = field(default_factory=Cost)
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    curve: tuple[CurvePoint, ...] = ()
    rows: tuple[Row, ...] = ()
    na: str = ""


def points_of(rows: Sequence[Row]) -> list[Point]:
    """Points of the rows of one task, in their order.

    Args:
        rows: Of a sweep; rows of equal method and axes differ in their seed.
    """
    groups: dict[tuple[str, Place], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.method, tuple(row.axes.items())), []).append(row)
    return [_point(members) for members in groups.values()]


def _point(rows: Sequence[Row]) -> Point:
    first = rows[0]
    records = [row.record for row in rows if row.record is not None]
    if not records:
        reasons = dict.fromkeys(row.na or row.error for row in rows)
        return Point(first.method, first.axes, rows=tuple(rows), na="; ".join(reasons))
    (outcome,) = compare(rows)
    return Point(
        method=first.method,
        axes=first.axes,
        cost=mean_cost([record.cost for record in records]),
        metrics=outcome.metrics,
        curve=learning_curve(records[0]),
        rows=tuple(rows),
    )


def mean_cost(costs: Sequence[Cost]) -> Cost:
    """The mean of what all of some costs have measured, and the most of what is a maximum.

    Counts (users, runs), the batch and the bills are those of the first.
    """
    first = costs[0]
    if len(costs) == 1:
        return first
    found: dict[str, float] = {}
    for name in Cost.model_fields:
        values = [getattr(cost, name) for cost in costs]
        if any(not isinstance(value, int | float) for value in values):
            continue
        if name == "llm_input_tokens_max":
            found[name] = max(values)
        elif isinstance(values[0], float) or name.endswith("_bytes"):
            found[name] = sum(values) / len(values)
    return first.model_copy(update=found)


def learning_curve(record: RunRecord) -> tuple[CurvePoint, ...]:
    """The looks of a record's last stage, with the arithmetic of all stages before counted."""
    if not record.fit.stages:
        return ()
    *before, last = record.fit.stages
    spent = sum(stage.flops for stage in before)
    a_step = last.flops / max(1, last.steps)
    return tuple(CurvePoint(spent + step * a_step, value) for _, step, value in last.curve)
