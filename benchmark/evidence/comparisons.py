"""One contestant against another on one metric: how far apart, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmark.errors import UserError
from benchmark.evidence.contestants import USER, Contestant
from benchmark.metrics.significance import bootstrap_interval
from benchmark.metrics.tests_of_difference import (
    detectable_difference,
    equivalence_test,
    mcnemar_test,
    sign_flip_test,
)
from benchmark.records.differences import NLL, Estimate

SIGNIFICANCE = 0.05
MARGIN = 0.01
"""Differences within it count as none, in the unit of the metric, unless told otherwise."""
BETTER, WORSE, EQUIVALENT, UNDECIDED = "better", "worse", "equivalent", "undecided"
RIGHT_OR_WRONG = "recall@1"
"""What McNemar's test is about."""


def check_margin(margin: float) -> float:
    """The margin, where it is one.

    Raises:
        UserError: No difference could lie outside of it, or none within.
    """
    if not 0 < margin < 1:
        raise UserError(
            f"--margin {margin:g}: it must be above 0 and below 1, in the unit of the metric, "
            f"e.g. --margin {MARGIN:g}"
        )
    return margin


@dataclass(frozen=True)
class Comparison:
    """What can be said of `first` against `second`, the same users paired.

    Values of several seeds are averaged user by user before anything else, so that intervals and
    tests are over users; what seeds do is `first_seeds` and `second_seeds`.

    Attributes:
        metric: Higher is better, but for `nll`.
        first: Label of the one.
        second: Label of the other.
        users: How many.
        first_mean: Its mean over users.
        second_mean: That of the other.
        difference: First minus second, with its 95% paired bootstrap interval.
        p: Two-sided paired sign-flip test.
        p_corrected: By Holm over its family; None outside of one, where it is exploratory.
        margin: Differences within it count as none; of metrics between 0 and 1 alone.
        p_equivalent: Of `equivalence_test`, two one-sided tests whether the difference lies within
            the margin; None of `nll`, and where neither mean is above the margin: there no
            difference could have been outside of it.
        detectable: Smallest difference found in four of five studies with as many such users.
        first_seeds: Mean over users of each seed.
        second_seeds: Likewise.
        p_equivalent_corrected: By Holm over the equivalence tests of the family; None outside.
        mcnemar: Seed that both have → p-value; of `recall@1` alone.
    """

    metric: str
    first: str
    second: str
    users: int
    first_mean: float
    second_mean: float
    difference: Estimate
    p: float
    margin: float
    p_equivalent: float | None
    detectable: float
    p_corrected: float | None = None
    p_equivalent_corrected: float | None = None
    first_seeds: tuple[float, ...] = ()
    second_seeds: tuple[float, ...] = ()
    mcnemar: dict[int, float] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `equivalent` or `undecided`, at 5%, of the first.

        A difference that is surely there is told even where it is within the margin.
        """
        p = self.p if self.p_corrected is None else self.p_corrected
        if p < SIGNIFICANCE and self.difference.value:
            higher = self.difference.value > 0
            return BETTER if higher == (self.metric != NLL) else WORSE
        return EQUIVALENT if self.surely_within else UNDECIDED

    @property
    def surely_within(self) -> bool:
        """Whether the difference lies within the margin at 5%: outside of a family uncorrected."""
        p = self.p_equivalent
        if self.p_equivalent_corrected is not None:
            p = self.p_equivalent_corrected
        return p is not None and p < SIGNIFICANCE

    @property
    def margin_share(self) -> float:
        """The margin over the greater of the two means; infinite where both are 0."""
        reached = max(self.first_mean, self.second_mean)
        return self.margin / reached if reached > 0 else float("inf")

    def to_json(self) -> dict[str, Any]:
        """The comparison as `--json` prints it."""
        return {
            "metric": self.metric,
            "first": self.first,
            "second": self.second,
            "verdict": self.verdict,
            "users": self.users,
            "first_mean": self.first_mean,
            "second_mean": self.second_mean,
            "difference": vars(self.difference),
            "p": self.p,
            "p_corrected": self.p_corrected,
            "p_equivalent": self.p_equivalent,
            "p_equivalent_corrected": self.p_equivalent_corrected,
            "margin": self.margin,
            "detectable": self.detectable,
            "first_seeds": list(self.first_seeds),
            "second_seeds": list(self.second_seeds),
            "mcnemar": {str(seed): p for seed, p in self.mcnemar.items()},
        }


def compare_on(
    metric: str,
    first: Contestant,
    second: Contestant,
    *,
    margin: float = MARGIN,
    samples: int = 9999,
) -> Comparison | None:
    """Compares two contestants of one group on a metric.

    Args:
        metric: One that has a value a user.
        first: The one.
        second: The other.
        margin: See `Comparison`.
        samples: Draws of signs of the test.

    Returns:
        None where either has no value of the metric for each user (macro-F1 has none).

    Raises:
        UserError: They are not about the same users.
    """
    one, two = first.per_user(metric), second.per_user(metric)
    if one is None or two is None:
        return None
    same_users(first, second)
    apart = one - two
    low, high = bootstrap_interval(apart)
    within = metric != NLL and max(one.mean(), two.mean()) > margin
    return Comparison(
        metric=metric,
        first=first.label,
        second=second.label,
        users=len(apart),
        first_mean=float(one.mean()),
        second_mean=float(two.mean()),
        difference=Estimate(float(apart.mean()), low, high),
        p=sign_flip_test(apart, samples=samples),
        margin=margin,
        p_equivalent=equivalence_test(apart, margin) if within else None,
        detectable=detectable_difference(apart, significance=SIGNIFICANCE),
        first_seeds=first.of_seeds(metric),
        second_seeds=second.of_seeds(metric),
        mcnemar=_mcnemar(first, second) if metric == RIGHT_OR_WRONG else {},
    )


def same_users(first: Contestant, second: Contestant) -> None:
    """Makes sure that two contestants are about the same users.

    Raises:
        UserError: They are not.
    """
    one, two = first.averaged[USER], second.averaged[USER]
    if not one.equals(two):
        extra = len(set(one) ^ set(two))
        raise UserError(
            f"{first.label} and {second.label} are about different users ({extra} are in one of "
            "them alone): they cannot be compared user by user"
        )


def _mcnemar(first: Contestant, second: Contestant) -> dict[int, float]:
    """By seed that both have; users stand in the same order in all frames."""
    found = {}
    for seed in sorted(set(first.seeds) & set(second.seeds)):
        one, two = (
            own.by_seed[seed][RIGHT_OR_WRONG].to_numpy().astype(np.float64)
            for own in (first, second)
        )
        found[seed] = mcnemar_test(one, two)
    return found
