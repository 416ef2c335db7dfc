"""Holds the claims of the study against what records show. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.evidence.comparisons import SIGNIFICANCE
from benchmark.evidence.family import Plan
from benchmark.reporting import claims_by_length as by_length
from benchmark.reporting.claims_config import Statement, Study
from benchmark.reporting.facts_ablation import Ablation
from benchmark.reporting.facts_claims import (
    MISSING,
    Claim,
    Evidence,
    by_interval,
    evidence_of,
    in_order,
    outcome_of,
)
from benchmark.reporting.facts_conclusions import Conclusion
from benchmark.reporting.facts_primary import PrimaryTest
from benchmark.reporting.facts_sweeps import Sweep

if TYPE_CHECKING:
    from benchmark.tables import Tables

_PRIMARY = f"its p-value after Holm below {SIGNIFICANCE:.0%}"
_TEST = f"its sign-flip p-value, not corrected, below {SIGNIFICANCE:.0%}"
_PRIMARY_EQUIVALENT = (
    f"else its p-value of equivalence after Holm below {SIGNIFICANCE:.0%}, of values above the "
    "margin (equivalent)"
)
_EQUIVALENT = (
    f"else the {1 - 2 * SIGNIFICANCE:.0%} interval within the margin, of values above it "
    "(equivalent)"
)
_INTERVAL = (
    f"its {1 - SIGNIFICANCE:.0%} interval, not corrected: without zero a difference, within the "
    "margin, of values above it, equivalent"
)
_RULES: Mapping[str, str] = {
    "baselines": f"every primary test of the studied method on this task: {_PRIMARY}, "
    f"{_PRIMARY_EQUIVALENT}",
    "text_prompts": "every primary test against a method that reads the history as text: "
    f"{_PRIMARY}, {_PRIMARY_EQUIVALENT}",
    "at_every_length": "a test against each text prompt at each length that was run: "
    f"{_TEST}, {_EQUIVALENT}",
    "longest_over_shortest": "a test of the longest history against the shortest: "
    f"{_TEST}, {_EQUIVALENT}",
    "advantage_by_length": "the advantage at the longest history minus that at the shortest, "
    f"paired by user: {_INTERVAL}",
    "tokens_by_length": "the counts of the shortest and the longest history are equal",
    "arithmetic_by_length": "the ratio is above one at the shortest history and greater at the "
    "longest",
    "ablation": f"the difference to the default, paired by user: {_INTERVAL}",
}
"""What decides a claim, as `Comparison.verdict`, `by_interval` and `claims_by_length` do it."""


@dataclass(frozen=True)
class Findings:
    """What claims are held against.

    Attributes:
        plan: Names the studied method and first metrics.
        primary: Its tests.
        conclusions: What it reaches, also where no test was made.
        sweeps: What numbers were varied.
        ablations: What parts were varied.
        margin: Differences within it count as none.
        tables: Say which methods read histories as text.
    """

    plan: Plan
    primary: Sequence[PrimaryTest]
    conclusions: Sequence[Conclusion]
    sweeps: Sequence[Sweep]
    ablations: Sequence[Ablation]
    margin: float
    tables: Tables

    @property
    def prompts(self) -> tuple[str, ...]:
        """Methods that read histories as text, some length of them."""
        return tuple(
            name
            for name, entry in self.tables.methods.items()
            if entry.uses_llm and entry.length and not entry.uses_encoder
        )


def hold_claims(study: Study, findings: Findings) -> tuple[Claim, ...]:
    """All claims with their evidence, what contradicts the study first."""
    claims = []
    for name, own in study.claims.items():
        evidence = tuple(_evidence(own, findings))
        lacking = "" if evidence else _command(own)
        statement = own.statement.format(studied=findings.plan.studied)
        claims.append(Claim(name, statement, _RULES[own.test], evidence, lacking))
    return in_order(claims)


def _evidence(own: Statement, findings: Findings) -> Iterator[Evidence]:
    plan = findings.plan
    if own.test in ("baselines", "text_prompts"):
        for test in findings.primary:
            of_task = own.task in ("", test.task)
            if of_task and (own.test == "baselines" or test.method in findings.prompts):
                yield evidence_of(test.comparison, own.expect, test.where, test.language_models)
        if own.test == "baselines":
            yield from _untested(own, findings)
        return
    if own.test == "ablation":
        yield from _of_ablations(own, findings)
        return
    for lengths in by_length.lengths_of(
        findings.sweeps, plan.studied, findings.prompts, findings.margin
    ):
        if own.test == "at_every_length":
            yield from by_length.at_every_length(lengths, own.expect)
        elif own.test == "longest_over_shortest":
            methods = (plan.studied,) if own.of == "studied" else lengths.prompts
            yield from by_length.longest_over_shortest(lengths, methods, own.expect)
        elif own.test == "advantage_by_length":
            yield from by_length.advantage_by_length(lengths, own.expect)
        elif own.test == "tokens_by_length":
            yield from by_length.tokens_by_length(lengths)
        else:
            yield from by_length.arithmetic_by_length(lengths, own.arithmetic)


def _untested(own: Statement, findings: Findings) -> Iterator[Evidence]:
    """Where the studied method has a number and nobody can be tested against it."""
    for one in findings.conclusions:
        if one.untested and not one.exploratory and own.task in ("", one.task):
            yield Evidence(
                one.where,
                f"{one.method} against its baselines",
                one.measured.metric,
                MISSING,
                first=one.measured.value,
                why=one.untested,
                language_models=one.language_models,
            )


def _of_ablations(own: Statement, findings: Findings) -> Iterator[Evidence]:
    for ablation in findings.ablations:
        if ablation.axes != (own.axis,):
            continue
        reference, *others = ablation.outcomes
        metric = findings.plan.metrics.get(ablation.task, ablation.metric)
        for outcome in others:
            value = outcome.axes[own.axis]
            if value not in own.values:
                continue
            first, second = outcome.metrics.get(metric), reference.metrics.get(metric)
            difference = outcome.differences.get(metric)
            reached = max((own.value for own in (first, second) if own), default=0.0)
            yield Evidence(
                where=ablation.title,
                compared=f"{value} against {reference.axes[own.axis]}",
                metric=metric,
                outcome=MISSING
                if difference is None
                else outcome_of(by_interval(difference, findings.margin, reached), own.expect),
                first=None if first is None else first.value,
                second=None if second is None else second.value,
                difference=difference,
                why="" if difference else "no examples of the same users beside both records",
                language_models=ablation.language_models,
            )


def _command(own: Statement) -> str:
    """What would make records for a claim."""
    if own.test == "ablation":
        return f"userllm-bench ablate --axis {own.axis}"
    if own.test.endswith("_length") or own.test == "longest_over_shortest":
        return "userllm-bench sweep --axis seq_len --values 10,50,200"
    return f"userllm-bench run --task {own.task or 'next_item'}"
