"""The tests that were fixed before looking, corrected for being many; all others are exploratory.

On each data set the studied method against each baseline, on the first metric of each task:
recall@1 of next items, recall@1 of labels, ROUGE-L of reviews. All tests of one data set, of all
its tasks and splits, are one family, corrected after Holm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmark.evidence.comparisons import MARGIN, Comparison, compare_on
from benchmark.evidence.contestants import Contestant, Group
from benchmark.metrics.tests_of_difference import holm


@dataclass(frozen=True)
class Plan:
    """What was fixed before looking.

    Attributes:
        studied: The method that the study is about.
        its_variants: Methods that are the same with other settings: they are no baselines.
        metrics: Task → its first metric.
    """

    studied: str
    its_variants: frozenset[str]
    metrics: Mapping[str, str]


@dataclass(frozen=True)
class Primary:
    """One test of a family, with where it was made."""

    group: Group
    comparison: Comparison


def primary_tests(groups: Sequence[Group], plan: Plan, margin: float = MARGIN) -> list[Primary]:
    """The tests of all families, each corrected within that of its data set.

    Args:
        groups: Of any data sets, tasks and splits.
        plan: What was fixed before looking.
        margin: Differences within it count as none.
    """
    families: dict[str, list[Primary]] = {}
    for group in groups:
        metric = plan.metrics.get(group.record.task.name)
        if metric is None:
            continue
        for first in _studied(group, plan):
            for second in group.contestants:
                if second.method == plan.studied or second.method in plan.its_variants:
                    continue
                comparison = compare_on(metric, first, second, margin=margin)
                if comparison is not None:
                    own = families.setdefault(group.record.dataset.fingerprint, [])
                    own.append(Primary(group, comparison))
    found = []
    for family in families.values():
        corrected = holm([test.comparison.p for test in family])
        found += [
            replace(test, comparison=replace(test.comparison, p_corrected=p))
            for test, p in zip(family, corrected, strict=True)
        ]
    return found


def _studied(group: Group, plan: Plan) -> list[Contestant]:
    return [own for own in group.contestants if own.method == plan.studied]
