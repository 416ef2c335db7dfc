"""All about one comparison: what was compared, what came out, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from benchmark.config import read_preset
from benchmark.errors import UserError
from benchmark.evidence.family import Plan, Primary
from benchmark.evidence.list_quality import ListQuality, list_quality
from benchmark.reporting.contests import Contest
from benchmark.reporting.facts_data import count_of
from benchmark.reporting.facts_matrix import Matrix, matrix_of
from benchmark.reporting.facts_methods import CostFacts, MethodFacts, costs_of, methods_of
from benchmark.reporting.facts_results import Results, results_of
from benchmark.reporting.facts_slices import SliceTable, slice_tables
from benchmark.reporting.figure import Figure
from benchmark.reporting.language_model import named
from benchmark.reporting.reading import LeftOut

if TYPE_CHECKING:
    from benchmark.tables import Tables

_T = TypeVar("_T")
_RANK = "target_rank"
"""What examples of rankings of items have, and those of labels have not."""


@dataclass(frozen=True)
class Section:
    """All about one contest.

    Attributes:
        title: What was asked of which data.
        language_model: Of everybody in it, in a phrase.
        dataset: Of which data.
        task: What was asked.
        split: With which split.
        part: Of which targets.
        preset: Under which budget.
        seen: Whether items that a user has met are left in.
        users: How many were asked.
        methods: How contestants were set.
        results: What they reach.
        matrix: Everybody against everybody; None where nobody can be compared.
        slices: The first metric in slices.
        qualities: Of rankings of items; none for other tasks.
        costs: Of training and answers.
        untested: Contestants that are compared with nobody, and why.
        studied: Label of the studied method; "" = absent.
        warning: What its preset warns of; "" = nothing.
        contest: Who was asked.
        figures: Of it.
        data_note: What a reader must know of the data; "" = nothing.
        made_up: Whether somebody made the data up.
        exploratory: Why no primary test is about it, "" where some may be.
        broken: Slices and facts about rankings that examples do not give, and why.
    """

    title: str
    language_model: str
    dataset: str
    task: str
    split: str
    part: str
    preset: str
    seen: str
    users: int
    methods: tuple[MethodFacts, ...]
    results: Results
    matrix: Matrix | None
    slices: tuple[SliceTable, ...]
    qualities: tuple[ListQuality, ...]
    costs: tuple[CostFacts, ...]
    untested: tuple[LeftOut, ...]
    studied: str
    warning: str
    contest: Contest
    figures: tuple[Figure, ...] = ()
    data_note: str = ""
    made_up: bool = False
    exploratory: str = ""
    broken: tuple[LeftOut, ...] = ()


def section_of(
    contest: Contest, plan: Plan, tests: Sequence[Primary], tables: Tables, margin: float
) -> Section:
    """All about a contest.

    Args:
        contest: Who was asked.
        plan: Says the first metric.
        tests: All primary tests.
        tables: Say what presets warn of.
        margin: Differences within it count as none.
    """
    record = contest.record
    results = results_of(contest, plan, tests)
    broken: list[LeftOut] = []
    slices = _or_left_out("slices", lambda: slice_tables(contest, results.first), broken, contest)
    return Section(
        title=contest.title,
        language_model=named(contest.language_models),
        dataset=record.dataset.name,
        task=record.task.name,
        split=record.protocol.split,
        part=record.protocol.part,
        preset=record.preset,
        seen=record.protocol.seen,
        users=record.examples,
        methods=methods_of(results.rows),
        results=results,
        matrix=matrix_of(contest, results.first, margin) if results.first else None,
        slices=tuple(slices or ()),
        qualities=_qualities(contest, broken),
        costs=costs_of(results.rows),
        untested=_untested(contest),
        studied=contest.studied,
        warning=read_preset(record.preset, tables).warning
        if record.preset in tables.preset_names
        else "",
        contest=contest,
        broken=tuple(broken),
    )


def _qualities(contest: Contest, broken: list[LeftOut]) -> tuple[ListQuality, ...]:
    """Of contestants whose rankings are of items, and of which something is known."""
    items = int(count_of(contest.record.dataset.facts, "items") or 0)
    tested = contest.tested.contestants if contest.tested else ()
    found = [
        _or_left_out(
            f"facts about rankings of {own.label}", partial(list_quality, own, items), broken,
            contest,
        )
        for own in tested
        if _RANK in own.averaged.columns
    ]  # fmt: skip
    return tuple(
        own
        for own in found
        if own and any(value is not None for name, value in vars(own).items() if name != "label")
    )


def _or_left_out(
    what: str, make: Callable[[], _T], broken: list[LeftOut], contest: Contest
) -> _T | None:
    """What examples give; where their columns are not what they should be, None and a line."""
    try:
        return make()
    except (UserError, pl.exceptions.PolarsError, ValueError, TypeError) as error:
        why = f"its examples cannot be read: {' '.join(str(error).split())}"
        broken.append(LeftOut(f"{what} ({contest.title})", why))
        return None


def _untested(contest: Contest) -> tuple[LeftOut, ...]:
    """Each reason once, with all contestants that it keeps from being compared."""
    by_reason: dict[str, list[str]] = {}
    for label, why in contest.untested.items():
        by_reason.setdefault(why, []).append(label)
    return tuple(LeftOut(", ".join(labels), why) for why, labels in by_reason.items())
