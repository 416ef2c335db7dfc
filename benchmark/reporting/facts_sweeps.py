"""How quality and cost change with a number, such as the length of histories. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.axes.sweep_points import Point, points_of
from benchmark.axes.sweep_steps import cautions
from benchmark.evidence.family import Plan
from benchmark.records.differences import Estimate
from benchmark.records.results import Row, asked, beside, comparison_group
from benchmark.reporting.figure import Figure
from benchmark.reporting.language_model import LanguageModel, language_models, named
from benchmark.reporting.reading import records_of

LENGTH = "seq_len"
"""The axis that is most events of a history that are read."""


@dataclass(frozen=True)
class SweepLine:
    """One method at one place.

    Attributes:
        method: Its name.
        reads_text: Whether there is a language model that could read tokens.
        place: Axis and value, in a phrase.
        seeds: How many.
        estimate: Of the first metric; None where it was not measured.
        tokens: That the language model reads of a question.
        question_megaflops: To read a question, encoder included.
        answer_megaflops: Of a whole answer.
        latency_seconds: Median of an answer.
        truncated: Share of users whose history lost events for want of positions.
    """

    method: str
    reads_text: bool
    place: str
    seeds: int
    estimate: Estimate | None
    tokens: float | None
    question_megaflops: float | None
    answer_megaflops: float | None
    latency_seconds: float | None
    truncated: float


@dataclass(frozen=True)
class Sweep:
    """All places of a sweep of one task on one data set.

    Attributes:
        axes: What was varied, the first along the figures.
        task: What was asked.
        settings: What somebody set of the task, name → value.
        dataset: Of which data.
        split: With which split.
        part: Of which targets.
        preset: Under which budget.
        beside: See `benchmark.records.results.beside`; "" also where no method was fitted in
            several ways.
        metric: That lines show.
        lines: In the order of methods and places.
        language_models: Behind the methods.
        points: The same with all metrics and costs.
        cautions: What else differs between places, see `benchmark.axes.sweep_steps.cautions`.
        figures: Of it.
    """

    axes: tuple[str, ...]
    task: str
    settings: dict[str, Any]
    dataset: str
    split: str
    part: str
    preset: str
    beside: str
    metric: str
    lines: tuple[SweepLine, ...]
    language_models: tuple[LanguageModel, ...]
    points: tuple[Point, ...]
    cautions: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()

    @property
    def title(self) -> str:
        """What was varied, and asked of which data."""
        return (
            f"{' by '.join(self.axes)}: {self.task} on {self.dataset}, split {self.split}, "
            + "".join(f"{name}={value}, " for name, value in self.settings.items())
            + f"{self.part} targets, preset {self.preset}"
            + (f", {self.beside}" if self.beside else "")
        )

    @property
    def language_model(self) -> str:
        """Behind the methods, in a phrase."""
        return named(self.language_models)

    @property
    def rows(self) -> list[Row]:
        """The cells behind it."""
        return [row for point in self.points for row in point.rows]


def sweeps_of(swept: Sequence[Row], main: Sequence[Row], plan: Plan) -> tuple[Sweep, ...]:
    """Sweeps of equal axes on equal questions.

    Args:
        swept: Rows with axes that are numbers.
        main: All others; a method that reads no history stands beside a sweep as it is.
        plan: Says the first metric of each task.
    """
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in swept:
        if row.record is not None:
            found.setdefault((comparison_group(row.record), *row.axes), []).append(row)
    sweeps = [
        _sweep(rows, main, plan, way)
        for members in found.values()
        for way, rows in _ways(members).items()
    ]
    return tuple(sorted(sweeps, key=lambda own: own.title))


def _ways(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows apart by what their fits knew of other tasks, where one method was fitted in both ways.

    Other methods stand in each.
    """
    ways: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.record is not None:
            ways.setdefault(row.method, {})[beside(row.record)] = None
    several = {method for method, own in ways.items() if len(own) > 1}
    if not several:
        return {"": list(rows)}
    return {
        way: [
            row
            for row in rows
            if row.record is not None and (row.method not in several or beside(row.record) == way)
        ]
        for way in dict.fromkeys(way for method in several for way in ways[method])
    }


def _sweep(rows: Sequence[Row], main: Sequence[Row], plan: Plan, way: str) -> Sweep:
    (first, *_) = records_of(rows)
    axes = tuple(rows[0].axes)
    ordered = sorted(rows, key=lambda row: (*(row.axes[axis] for axis in axes), row.seed))
    methods = sorted({row.method for row in rows})
    unmoved = [
        row
        for row in main
        if row.record is not None
        and comparison_group(row.record) == comparison_group(first)
        and not row.record.protocol.history_length
        and row.method not in methods
    ]
    points = [
        point
        for method in methods
        for point in points_of([r for r in ordered if r.method == method])
    ]
    points += points_of(unmoved)
    metric = plan.metrics.get(first.task.name) or next(iter(first.metrics), "")
    return Sweep(
        axes=axes,
        task=first.task.name,
        settings=asked(first),
        dataset=first.dataset.name,
        split=first.protocol.split,
        part=first.protocol.part,
        preset=first.preset,
        beside=way,
        metric=metric,
        lines=tuple(_line(point, metric) for point in points),
        language_models=language_models(records_of(rows)),
        points=tuple(points),
        cautions=tuple(cautions(points)),
    )


def _line(point: Point, metric: str) -> SweepLine:
    cost = point.cost
    return SweepLine(
        method=point.method,
        reads_text=bool(language_models(records_of(point.rows))),
        place=", ".join(f"{name} {value:g}" for name, value in point.axes.items()) or "any",
        seeds=len(records_of(point.rows)),
        estimate=point.metrics.get(metric),
        tokens=cost.llm_input_tokens,
        question_megaflops=None if cost.prompt_flops is None else cost.prompt_flops / 1e6,
        answer_megaflops=None if cost.answer_flops is None else cost.answer_flops / 1e6,
        latency_seconds=cost.latency_seconds,
        truncated=cost.truncated_users,
    )
