"""The primary tests, a line each, by what is corrected together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.evidence.comparisons import Comparison
from benchmark.evidence.contestants import Group
from benchmark.evidence.family import Primary
from benchmark.records.differences import Estimate
from benchmark.reporting.contests import Contest
from benchmark.reporting.facts_results import MARKS
from benchmark.reporting.language_model import LanguageModel, language_models, named


@dataclass(frozen=True)
class PrimaryTest:
    """A line of the table of primary tests.

    Attributes:
        group: Who was asked.
        where: What was asked.
        dataset: On which data.
        fingerprint: Of the data.
        split: With which split.
        task: Of which task.
        method: The baseline's.
        comparison: The test, corrected.
        language_models: Behind the studied method.
        mark: Of the verdict.
    """

    group: Group
    where: str
    dataset: str
    fingerprint: str
    split: str
    task: str
    method: str
    comparison: Comparison
    language_models: tuple[LanguageModel, ...]
    mark: str

    @property
    def difference(self) -> Estimate:
        """First minus second."""
        return self.comparison.difference


def primary_table(primary: Sequence[Primary], contests: Sequence[Contest]) -> list[PrimaryTest]:
    """All primary tests, in the order of the contests."""
    lines = []
    for contest in contests:
        for test in primary:
            if test.group is not contest.tested:
                continue
            record, comparison = contest.record, test.comparison
            lines.append(
                PrimaryTest(
                    group=test.group,
                    where=contest.title,
                    dataset=record.dataset.name,
                    fingerprint=record.dataset.fingerprint,
                    split=record.protocol.split,
                    task=record.task.name,
                    method=test.group[comparison.second].method,
                    comparison=comparison,
                    language_models=language_models(test.group[comparison.first].records),
                    mark=MARKS[comparison.verdict],
                )
            )
    return lines


@dataclass(frozen=True)
class Family:
    """The tests that are corrected together, those of one data set.

    Attributes:
        dataset: Its name.
        fingerprint: What tells it from another of that name.
        language_model: Behind the studied method, in a phrase.
        tests: In the order of the contests.
    """

    dataset: str
    fingerprint: str
    language_model: str
    tests: tuple[PrimaryTest, ...]


def families_of(tests: Sequence[PrimaryTest]) -> tuple[Family, ...]:
    """Primary tests by data set."""
    found: dict[tuple[str, str], list[PrimaryTest]] = {}
    for test in tests:
        found.setdefault((test.dataset, test.fingerprint), []).append(test)
    return tuple(
        Family(
            *key,
            named(dict.fromkeys(m for own in members for m in own.language_models)),
            tuple(members),
        )
        for key, members in found.items()
    )
