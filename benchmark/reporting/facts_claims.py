"""What the study claims, and whether the records bear it out, by rules that are stated here.

A verdict on two methods is that of `Comparison`; where no test was made (ablations, advantages),
`by_interval` gives one. It confirms a claim where it is the expected one and contradicts it where
it is another that is sure; `undecided` decides nothing. A claim speaks of all data sets: one
contradiction contradicts it, and it is confirmed where all evidence confirms it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.evidence.comparisons import BETTER, EQUIVALENT, UNDECIDED, WORSE, Comparison
from benchmark.records.differences import Estimate
from benchmark.reporting.language_model import LanguageModel, named

CONFIRMED, CONTRADICTED, MISSING = "confirmed", "contradicted", "missing"
_CONFIRMING = {"better": {BETTER}, "worse": {WORSE}, "not_worse": {BETTER, EQUIVALENT}}


@dataclass(frozen=True)
class Evidence:
    """One comparison that a claim is about.

    Attributes:
        where: What was asked.
        compared: Who with whom.
        metric: What is compared.
        outcome: `confirmed`, `contradicted`, `undecided` or `missing`.
        first: What the first reaches; None where it is not known.
        second: What the second reaches.
        difference: First minus second; None where it is not known.
        p: Of the test, corrected where it is primary; None where there is none.
        why: Why it is missing, "" where it is not.
        language_models: Behind it.
    """

    where: str
    compared: str
    metric: str
    outcome: str
    first: float | None = None
    second: float | None = None
    difference: Estimate | None = None
    p: float | None = None
    why: str = ""
    language_models: tuple[LanguageModel, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A statement of the study with what records say to it.

    Attributes:
        name: Its name in the file of claims.
        statement: The claim.
        rule: What would confirm it.
        evidence: Every comparison that it is about.
        lacking: What would have to be run, a command; "" where something was.
    """

    name: str
    statement: str
    rule: str
    evidence: tuple[Evidence, ...]
    lacking: str = ""

    @property
    def outcome(self) -> str:
        """Of the whole claim."""
        found = {own.outcome for own in self.evidence} - {MISSING}
        if not found:
            return MISSING
        if CONTRADICTED in found:
            return CONTRADICTED
        return CONFIRMED if found == {CONFIRMED} else UNDECIDED

    @property
    def language_model(self) -> str:
        """All behind the evidence, in a phrase."""
        return named(dict.fromkeys(m for own in self.evidence for m in own.language_models))

    def count(self, outcome: str) -> int:
        """How many comparisons came out so."""
        return sum(own.outcome == outcome for own in self.evidence)

    @property
    def confirming(self) -> int:
        """Comparisons that confirm it."""
        return self.count(CONFIRMED)

    @property
    def contradicting(self) -> int:
        """Comparisons that contradict it."""
        return self.count(CONTRADICTED)

    @property
    def open(self) -> int:
        """Comparisons that decide nothing."""
        return self.count(UNDECIDED)

    @property
    def missing(self) -> int:
        """Comparisons that could not be made."""
        return self.count(MISSING)


def outcome_of(verdict: str, expected: str) -> str:
    """What a verdict on the first of two says to a claim."""
    if verdict in _CONFIRMING[expected]:
        return CONFIRMED
    return UNDECIDED if verdict == UNDECIDED else CONTRADICTED


def by_interval(difference: Estimate, margin: float, reached: float) -> str:
    """A verdict on the first of two, of a 95% interval alone, higher being better.

    Args:
        difference: First minus second.
        margin: Differences within it count as none.
        reached: The most that anybody reaches; where it is within the margin, so is any difference,
            and nothing is called equivalent.
    """
    if difference.low > 0:
        return BETTER
    if difference.high < 0:
        return WORSE
    within = -margin < difference.low and difference.high < margin < reached
    return EQUIVALENT if within else UNDECIDED


def evidence_of(
    comparison: Comparison, expected: str, where: str, models: tuple[LanguageModel, ...]
) -> Evidence:
    """A test of two methods as evidence."""
    return Evidence(
        where=where,
        compared=f"{comparison.first} against {comparison.second}",
        metric=comparison.metric,
        outcome=outcome_of(comparison.verdict, expected),
        first=comparison.first_mean,
        second=comparison.second_mean,
        difference=comparison.difference,
        p=comparison.p if comparison.p_corrected is None else comparison.p_corrected,
        language_models=models,
    )


def in_order(claims: Sequence[Claim]) -> tuple[Claim, ...]:
    """What contradicts the study first, what is missing last."""
    order = (CONTRADICTED, UNDECIDED, CONFIRMED, MISSING)
    return tuple(sorted(claims, key=lambda own: order.index(own.outcome)))
