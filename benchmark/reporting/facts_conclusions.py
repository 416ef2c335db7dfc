"""Conclusions: what verdicts add up to, for a template to put into a sentence. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.evidence.comparisons import BETTER, EQUIVALENT, UNDECIDED, WORSE, Comparison
from benchmark.evidence.family import Plan
from benchmark.reporting.contests import Contest
from benchmark.reporting.facts_primary import PrimaryTest
from benchmark.reporting.facts_results import Measured
from benchmark.reporting.facts_section import Section
from benchmark.reporting.language_model import LanguageModel, named


@dataclass(frozen=True)
class Conclusion:
    """What the primary tests of one contest say of the studied method.

    Attributes:
        where: What was asked.
        dataset: On which data.
        split: With which split.
        task: Which task.
        method: The studied contestant.
        language_models: Behind it.
        users: How many were asked.
        seeds: Of the studied contestant.
        measured: What it reaches on the first metric.
        other: The best of the others by that value; "" = it is alone.
        other_measured: What that one reaches; None where it is alone.
        place: Its place by that value, 1 = best, among all but those that are the studied method
            with other settings.
        of: How many there are.
        better: Tests that it wins.
        worse: Tests that it loses.
        equivalent: Tests where no difference counts.
        undecided: Tests that decide nothing.
        untested: Why no test was made, "" where some was.
        exploratory: Why no primary test is about it, "" where some may be.
        known_before: Whether records behind its primary tests are older than the plan of these.
        warning: What its preset warns of; "" = nothing.
        data_note: What a reader must know of the data; "" = nothing.
        made_up: Whether somebody made the data up.
    """

    where: str
    dataset: str
    split: str
    task: str
    method: str
    language_models: tuple[LanguageModel, ...]
    users: int
    seeds: tuple[int, ...]
    measured: Measured
    other: str
    other_measured: Measured | None
    place: int
    of: int
    better: tuple[Comparison, ...]
    worse: tuple[Comparison, ...]
    equivalent: tuple[Comparison, ...]
    undecided: tuple[Comparison, ...]
    untested: str
    exploratory: str
    known_before: bool
    warning: str
    data_note: str
    made_up: bool

    @property
    def language_model(self) -> str:
        """What it is and what it was pretrained on."""
        return named(self.language_models)


def conclusion_of(
    contest: Contest, section: Section, primary: Sequence[PrimaryTest], plan: Plan
) -> Conclusion | None:
    """The conclusion of a contest on its test part; None without the studied method in it."""
    results = section.results
    own = next((row for row in results.rows if row.studied), None)
    if own is None or results.first not in own.measured or contest.record.protocol.part != "test":
        return None
    tests = [
        test.comparison
        for test in primary
        if test.group is contest.tested and test.comparison.first == own.label
    ]
    by = {
        verdict: tuple(test for test in tests if test.verdict == verdict)
        for verdict in (BETTER, WORSE, EQUIVALENT, UNDECIDED)
    }
    same = {plan.studied, *plan.its_variants}
    ranked = [
        row
        for row in results.rows
        if results.first in row.measured and (row.studied or row.method not in same)
    ]
    other = next((row for row in ranked if not row.studied), None)
    measured = own.measured[results.first]
    record = contest.record
    return Conclusion(
        where=contest.title,
        dataset=record.dataset.name,
        split=record.protocol.split,
        task=record.task.name,
        method=own.label,
        language_models=own.language_models,
        users=section.users,
        seeds=own.seeds,
        measured=measured,
        other=other.label if other else "",
        other_measured=other.measured[results.first] if other else None,
        place=1 + sum(row.measured[results.first].value > measured.value for row in ranked),
        of=len(ranked),
        better=by[BETTER],
        worse=by[WORSE],
        equivalent=by[EQUIVALENT],
        undecided=by[UNDECIDED],
        untested="" if tests else _why_untested(own.untested),
        exploratory="" if tests else section.exploratory,
        known_before=any(_oldest(contest, test) < plan.since for test in tests),
        warning=section.warning,
        data_note=section.data_note,
        made_up=section.made_up,
    )


def _oldest(contest: Contest, test: Comparison) -> str:
    """When the first of the records that a test is about was made."""
    both = [own for own in contest.group.contestants if own.label in (test.first, test.second)]
    return min(record.created for own in both for record in own.records)


def _why_untested(own: str) -> str:
    return own or "no baseline beside it can be compared with it user by user"
