"""Every contestant against every other: exploratory, no correction. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.evidence.comparisons import BETTER, WORSE, compare_on
from benchmark.reporting.contests import Contest
from benchmark.reporting.facts_results import MARKS

DRAWS = 1999
"""Draws of signs of each test: fewer than where a p-value is shown, as there are many pairs."""
_TURNED: Mapping[str, str] = {BETTER: WORSE, WORSE: BETTER}


@dataclass(frozen=True)
class MatrixRow:
    """A contestant against all.

    Attributes:
        letter: Its column's name.
        label: The contestant.
        marks: Verdict on it against each column, "" against itself.
    """

    letter: str
    label: str
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Matrix:
    """Verdicts of all pairs of a contest on one metric."""

    metric: str
    rows: tuple[MatrixRow, ...]


def matrix_of(contest: Contest, metric: str, margin: float) -> Matrix | None:
    """The verdicts of all pairs; None where fewer than two can be compared.

    Args:
        contest: Who was asked.
        metric: What is compared.
        margin: Differences within it count as none.
    """
    able = [
        own
        for own in (contest.tested.contestants if contest.tested else ())
        if own.per_user(metric) is not None
    ]
    if len(able) < 2:
        return None
    means = {own.label: own.averaged[metric].mean() for own in able}
    able.sort(key=lambda own: -float(str(means[own.label])))
    verdicts: dict[tuple[str, str], str] = {}
    for place, first in enumerate(able):
        for second in able[place + 1 :]:
            comparison = compare_on(metric, first, second, margin=margin, samples=DRAWS)
            assert comparison is not None
            verdict = comparison.verdict
            verdicts[first.label, second.label] = MARKS[verdict]
            verdicts[second.label, first.label] = MARKS[_TURNED.get(verdict, verdict)]
    rows = [
        MatrixRow(
            letter=_letters(place),
            label=own.label,
            marks=tuple(verdicts.get((own.label, other.label), "") for other in able),
        )
        for place, own in enumerate(able)
    ]
    return Matrix(metric, tuple(rows))


def _letters(place: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    more, last = divmod(place, 26)
    return (_letters(more - 1) if more else "") + chr(ord("A") + last)
