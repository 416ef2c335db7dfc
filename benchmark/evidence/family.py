"""The primary tests, fixed by rules and corrected for being many; all others are exploratory.

On each data set the studied method against each baseline, on the first metric of each task:
recall@1 of next items, recall@1 of labels, ROUGE-L of reviews. All tests of one data set, of all
its tasks and splits, are one family, corrected after Holm: the tests of a difference, and those
of equivalence. Nothing that was measured has a say in who takes part:

- Test targets; settings of task and split that nobody changed; a preset without a warning.
- Of each data set, task and split one group in which the studied method and a baseline can be
  tested: of the latest task version; with seen items left out where both were run (a record does
  not say what `auto` would have chosen); of the largest preset; made last.
- The studied method once and each baseline of the tables once: as it is or tuned before one with
  settings that somebody set by hand, then with the most seeds, then the one made last. Variants of
  the studied method, imported rows, methods that the tables lack, and further settings of a method
  take no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmark.evidence.comparisons import MARGIN, SIGNIFICANCE, Comparison, compare_on
from benchmark.evidence.contestants import Contestant, Group, differing
from benchmark.metrics.tests_of_difference import detectable_difference, holm, sign_flip_test
from benchmark.records.results import RunRecord, asked

DRAWS = 99_999
"""Signs of a test that may come out: after Holm few of 9,999 draws would decide it."""
_CLOSE = 0.2
"""P-value below which that many are drawn; correction makes it no smaller."""


@dataclass(frozen=True)
class Plan:
    """What primary tests are about, fixed by rules that stand here.

    Attributes:
        studied: The method that the study is about.
        its_variants: Methods that are the same with other settings: they are no baselines.
        metrics: Task → its first metric.
        baselines: Methods that it is tested against.
        presets: Those without a warning, the largest budget first.
        split_settings: Split → its settings where nobody changed them.
        since: When the rules were last changed, in ISO 8601: older records may have been known to
            whoever changed them.
    """

    studied: str
    its_variants: frozenset[str]
    metrics: Mapping[str, str]
    baselines: frozenset[str]
    presets: tuple[str, ...]
    split_settings: Mapping[str, Mapping[str, Any]]
    since: str = ""


@dataclass(frozen=True)
class Primary:
    """One test of a family, with where it was made."""

    group: Group
    comparison: Comparison


def primary_tests(groups: Sequence[Group], plan: Plan, margin: float = MARGIN) -> list[Primary]:
    """The tests of all families, each corrected within that of its data set.

    What is detectable is that of the smallest p-value of the family: a difference that is found
    at the level divided by the number of tests.

    Args:
        groups: Of any data sets, tasks and splits.
        plan: What the tests are about.
        margin: Differences within it count as none.
    """
    families: dict[str, list[Primary]] = {}
    for group, why in zip(groups, exploratory(groups, plan), strict=True):
        if why:
            continue
        metric = plan.metrics[group.record.task.name]
        for first, second in _pairs(group, plan):
            comparison = compare_on(metric, first, second, margin=margin)
            if comparison is not None:
                own = families.setdefault(group.record.dataset.fingerprint, [])
                own.append(Primary(group, _drawn(comparison, first, second)))
    return [test for family in families.values() for test in _corrected(family)]


def exploratory(groups: Sequence[Group], plan: Plan) -> list[str]:
    """For each group why no primary test is about it, "" where some are."""
    whys = [_outside(group, plan) for group in groups]
    chosen: dict[tuple[str, str, str], Group] = {}
    for group, why in zip(groups, whys, strict=True):
        if not why:
            best = chosen.setdefault(_question(group), group)
            if _rank(group, plan) > _rank(best, plan):
                chosen[_question(group)] = group
    return [
        why or _beside(group, chosen[_question(group)])
        for group, why in zip(groups, whys, strict=True)
    ]


def not_planned(record: RunRecord, plan: Plan) -> str:
    """What keeps records that were asked so from primary tests, "" = nothing."""
    protocol, task = record.protocol, record.task.name
    if task not in plan.metrics:
        return f"{task} has no first metric"
    if protocol.part != "test":
        return f"they are of {protocol.part} targets"
    if changed := [f"{task}.{name}" for name in asked(record)]:
        return f"somebody set {', '.join(changed)}"
    settings = protocol.split_settings
    if settings and settings != plan.split_settings.get(protocol.split, settings):
        return f"somebody set what the split {protocol.split} does"
    if record.preset not in plan.presets:
        return f"the preset {record.preset} is none of {', '.join(plan.presets)}"
    return ""


def leading(contestants: Sequence[Contestant], method: str) -> Contestant | None:
    """Of a method's contestants one that nobody set by hand, of these the one with most seeds.

    Of several the one made last. Imported ones do not count.
    """
    own = [one for one in contestants if one.method == method and not one.imported]
    return max(own, key=lambda one: (not one.by_hand, len(one.seeds), one.made), default=None)


def _outside(group: Group, plan: Plan) -> str:
    why = not_planned(group.record, plan)
    if not why and not _pairs(group, plan):
        return f"{plan.studied} and a baseline of the tables are not both there to be tested"
    return why


def _pairs(group: Group, plan: Plan) -> list[tuple[Contestant, Contestant]]:
    """The studied method with each baseline that has a value a user, as it has."""
    metric = plan.metrics[group.record.task.name]
    first = leading(group.contestants, plan.studied)
    if first is None or first.per_user(metric) is None:
        return []
    methods = dict.fromkeys(own.method for own in group.contestants)
    others = [leading(group.contestants, name) for name in methods if name in plan.baselines]
    return [(first, own) for own in others if own and own.per_user(metric) is not None]


def _question(group: Group) -> tuple[str, str, str]:
    record = group.record
    return record.dataset.fingerprint, record.task.name, record.protocol.split


def _rank(group: Group, plan: Plan) -> tuple[Any, ...]:
    """Of groups of one question the highest takes part."""
    record = group.record
    version = record.task.version
    return (
        (len(version), version),  # "10" is later than "9"
        record.protocol.seen == "exclude",
        -plan.presets.index(record.preset),
        max(own.made for own in group.contestants),
        record.dataset.target_hash,
    )


def _beside(group: Group, chosen: Group) -> str:
    """Why another group of the same question takes part in place of one; "" where it is itself."""
    if group is chosen:
        return ""
    told = differing(group.record, chosen.record)
    if group.record.preset != chosen.record.preset:
        told.append(f"preset ({group.record.preset} and {chosen.record.preset})")
    return f"others that were asked the same take part; they differ in {', '.join(told)}"


def _drawn(comparison: Comparison, first: Contestant, second: Contestant) -> Comparison:
    """With the p-value of more draws, where it is small."""
    if comparison.p >= _CLOSE:
        return comparison
    one, two = first.per_user(comparison.metric), second.per_user(comparison.metric)
    assert one is not None
    assert two is not None
    return replace(comparison, p=sign_flip_test(one - two, samples=DRAWS))


def _corrected(family: Sequence[Primary]) -> list[Primary]:
    """Differences and equivalences each by Holm: wrong anywhere in 5% of the studies at most.

    What cannot be called equivalent counts all the same, so that what was measured has no say in
    how many tests there are.
    """
    own = [test.comparison for test in family]
    different = holm([one.p for one in own])
    equivalent = holm([1.0 if one.p_equivalent is None else one.p_equivalent for one in own])
    level = SIGNIFICANCE / len(family)
    return [
        replace(
            test,
            comparison=replace(
                test.comparison,
                p_corrected=p,
                p_equivalent_corrected=None if test.comparison.p_equivalent is None else within,
                detectable=_detectable(test, level),
            ),
        )
        for test, p, within in zip(family, different, equivalent, strict=True)
    ]


def _detectable(test: Primary, level: float) -> float:
    own = test.comparison
    first, second = (test.group[label].per_user(own.metric) for label in (own.first, own.second))
    assert first is not None
    assert second is not None
    return detectable_difference(first - second, significance=level)
