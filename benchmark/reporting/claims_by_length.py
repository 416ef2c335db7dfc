"""Claims about what longer histories do, tested on sweeps of their length. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from benchmark.axes.sweep_points import Point
from benchmark.errors import UserError
from benchmark.evidence.comparisons import compare_on, same_users
from benchmark.evidence.contestants import Contestant
from benchmark.metrics.significance import bootstrap_interval
from benchmark.records.differences import Estimate
from benchmark.reporting.facts_claims import (
    CONFIRMED,
    CONTRADICTED,
    MISSING,
    Evidence,
    by_interval,
    evidence_of,
    outcome_of,
)
from benchmark.reporting.facts_sweeps import LENGTH, Sweep
from benchmark.reporting.usable import why_unusable

_NO_VALUES = "a record has no value of it for each user"


@dataclass(frozen=True)
class Lengths:
    """A sweep of the length of histories, by method.

    Attributes:
        sweep: It.
        studied: Name of the studied method.
        prompts: Names of text prompts that are there.
        margin: Differences within it count as none.
    """

    sweep: Sweep
    studied: str
    prompts: tuple[str, ...]
    margin: float

    def points(self, method: str) -> Mapping[float, Point]:
        """What was found of a method, by length, the shortest first."""
        own = [p for p in self.sweep.points if p.method == method and LENGTH in p.axes]
        return {p.axes[LENGTH]: p for p in sorted(own, key=lambda p: p.axes[LENGTH])}

    def contestant(self, method: str, length: float) -> Contestant:
        """A method at a length."""
        point = self.points(method)[length]
        return Contestant(f"{method} at {length:g}", point.rows)

    def common(self, prompt: str) -> list[float]:
        """Lengths at which a text prompt and the studied method both are."""
        return [x for x in self.points(self.studied) if x in self.points(prompt)]

    def evidence(self, first: Contestant, second: Contestant, expected: str) -> Evidence:
        """A test of two, or why there is none."""
        if why := self.unusable(first, second):
            return self.missing(f"{first.label} against {second.label}", why)
        try:
            found = compare_on(self.sweep.metric, first, second, margin=self.margin)
        except (UserError, pl.exceptions.PolarsError) as error:
            return self.missing(f"{first.label} against {second.label}", str(error))
        if found is None:
            return self.missing(f"{first.label} against {second.label}", _NO_VALUES)
        return evidence_of(found, expected, self.sweep.title, self.sweep.language_models)

    def unusable(self, *contestants: Contestant) -> str:
        """Why the first of some that cannot be tested cannot, "" where all can."""
        for own in contestants:
            if why := why_unusable(own, self.sweep.metric):
                return f"{own.label}: {why}"
        return ""

    def missing(self, compared: str, why: str) -> Evidence:
        """That nothing can be said."""
        return Evidence(self.sweep.title, compared, self.sweep.metric, MISSING, why=why)


def lengths_of(
    sweeps: Sequence[Sweep], studied: str, prompts: Sequence[str], margin: float
) -> list[Lengths]:
    """The sweeps of the length of histories alone that the studied method is in."""
    found = []
    for sweep in sweeps:
        methods = {point.method for point in sweep.points}
        if sweep.axes == (LENGTH,) and studied in methods:
            there = tuple(name for name in prompts if name in methods)
            found.append(Lengths(sweep, studied, there, margin))
    return found


def at_every_length(own: Lengths, expected: str) -> Iterator[Evidence]:
    """The studied method against each text prompt at each length."""
    for prompt in own.prompts:
        for x in own.common(prompt):
            yield own.evidence(own.contestant(own.studied, x), own.contestant(prompt, x), expected)


def longest_over_shortest(
    own: Lengths, methods: Sequence[str], expected: str
) -> Iterator[Evidence]:
    """Each method at its longest against its shortest history."""
    for method in methods:
        xs = list(own.points(method))
        if len(xs) > 1:
            yield own.evidence(
                own.contestant(method, xs[-1]), own.contestant(method, xs[0]), expected
            )


def advantage_by_length(own: Lengths, expected: str) -> Iterator[Evidence]:
    """The advantage over each text prompt at the longest history against the shortest, by user."""
    metric = own.sweep.metric
    for prompt in own.prompts:
        xs = own.common(prompt)
        if len(xs) < 2:
            continue
        told = f"advantage over {prompt} at {xs[-1]:g} against {xs[0]:g}"
        four = [own.contestant(name, x) for x in (xs[-1], xs[0]) for name in (own.studied, prompt)]
        if why := own.unusable(*four):
            yield own.missing(told, why)
            continue
        try:
            for other in four[1:]:
                same_users(four[0], other)
            long, prompt_long, short, prompt_short = (one.per_user(metric) for one in four)
        except (UserError, pl.exceptions.PolarsError) as error:
            yield own.missing(told, str(error))
            continue
        if long is None or prompt_long is None or short is None or prompt_short is None:
            yield own.missing(told, _NO_VALUES)
            continue
        at_long, at_short = long - prompt_long, short - prompt_short
        grown = at_long - at_short
        difference = Estimate(float(grown.mean()), *bootstrap_interval(grown))
        reached = max(float(one.mean()) for one in (long, prompt_long, short, prompt_short))
        yield Evidence(
            own.sweep.title,
            told,
            metric,
            outcome_of(by_interval(difference, own.margin, reached), expected),
            float(at_long.mean()),
            float(at_short.mean()),
            difference,
            language_models=own.sweep.language_models,
        )


def tokens_by_length(own: Lengths) -> Iterator[Evidence]:
    """Tokens that the studied method's language model reads of the longest and shortest history."""
    points = [p for p in own.points(own.studied).values() if p.cost.llm_input_tokens is not None]
    if len(points) > 1:
        long, short = points[-1].cost.llm_input_tokens, points[0].cost.llm_input_tokens
        yield _counted(own, f"{own.studied}, longest against shortest", "tokens read", long, short,
                       long == short)  # fmt: skip


def arithmetic_by_length(own: Lengths, field: str) -> Iterator[Evidence]:
    """How many times the studied method's arithmetic a text prompt takes, a number of `Cost`."""
    studied = own.points(own.studied)
    for prompt in own.prompts:
        theirs = own.points(prompt)
        ratios = [
            flops / base
            for x in own.common(prompt)
            if (flops := getattr(theirs[x].cost, field))
            and (base := getattr(studied[x].cost, field))
        ]
        if len(ratios) > 1:
            told = f"{prompt} over {own.studied}, longest against shortest"
            grows = ratios[-1] > ratios[0] > 1.0
            yield _counted(own, told, f"ratio of {field}", ratios[-1], ratios[0], grows)


def _counted(
    own: Lengths, compared: str, what: str, first: float | None, second: float | None, so: bool
) -> Evidence:
    """Counts have no uncertainty: a claim about them holds or does not."""
    outcome = CONFIRMED if so else CONTRADICTED
    return Evidence(
        own.sweep.title,
        compared,
        what,
        outcome,
        first,
        second,
        language_models=own.sweep.language_models,
    )
