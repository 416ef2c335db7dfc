"""A metric in slices of the users, a table a slicing. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.evidence.slices import Line, slice_lines
from benchmark.records.differences import Estimate
from benchmark.reporting.contests import Contest


@dataclass(frozen=True)
class SliceHead:
    """A column: a slice and how many users it holds."""

    name: str
    users: int


@dataclass(frozen=True)
class SliceCell:
    """What one contestant reaches in one slice.

    Attributes:
        mean: With its 95% interval.
        apart: Whether the 95% interval of the paired difference to the reference leaves zero out.
    """

    mean: Estimate
    apart: bool


@dataclass(frozen=True)
class SliceRow:
    """A line: one contestant in every slice."""

    label: str
    cells: tuple[SliceCell, ...]


@dataclass(frozen=True)
class SliceTable:
    """One slicing of the users of a contest.

    Attributes:
        slicing: What the users are split by.
        metric: What is shown.
        reference: Whom the others are compared with.
        heads: The slices.
        rows: The contestants.
    """

    slicing: str
    metric: str
    reference: str
    heads: tuple[SliceHead, ...]
    rows: tuple[SliceRow, ...]


def slice_tables(contest: Contest, metric: str) -> list[SliceTable]:
    """Tables of all slicings that the examples know; none without examples."""
    if contest.tested is None or not metric:
        return []
    labels = [own.label for own in contest.tested.contestants]
    reference = contest.tested[contest.studied] if contest.studied in labels else None
    by_slicing: dict[str, list[Line]] = {}
    for line in slice_lines(contest.tested, metric, reference):
        by_slicing.setdefault(line.slicing, []).append(line)
    return [_table(slicing, metric, lines) for slicing, lines in by_slicing.items()]


def _table(slicing: str, metric: str, lines: Sequence[Line]) -> SliceTable:
    heads = dict.fromkeys((line.slice, line.users) for line in lines)
    labels = dict.fromkeys(line.label for line in lines)
    cells = {(line.label, line.slice): line for line in lines}
    return SliceTable(
        slicing=slicing,
        metric=metric,
        reference=next(line.label for line in lines if line.difference is None),
        heads=tuple(SliceHead(*head) for head in heads),
        rows=tuple(
            SliceRow(label, tuple(_cell(cells[label, name]) for name, _ in heads))
            for label in labels
        ),
    )


def _cell(line: Line) -> SliceCell:
    apart = line.difference is not None and (line.difference.low > 0 or line.difference.high < 0)
    return SliceCell(line.mean, apart)
