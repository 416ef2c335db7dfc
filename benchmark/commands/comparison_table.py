"""A comparison of two methods on the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmark.commands.table import open_console, title
from benchmark.evidence.comparisons import SIGNIFICANCE
from benchmark.records.differences import Estimate
from benchmark.reporting.number_filters import p_value

if TYPE_CHECKING:
    from benchmark.commands.compare import Pair
    from benchmark.evidence.comparisons import Comparison
    from benchmark.evidence.list_quality import ListQuality
    from benchmark.evidence.slices import Line


def print_pair(pair: Pair) -> None:
    """Prints everything that a comparison of two methods shows."""
    first, second = pair.group.contestants
    console = open_console()
    print(title([*first.rows, *second.rows]))
    print(f"A: {first.label}, seeds {_listed(first.seeds)}")
    print(f"B: {second.label}, seeds {_listed(second.seeds)}")
    console.print(_metrics(pair.comparisons))
    for own in pair.comparisons:
        _print_seeds(own)
    for name in pair.untested:
        print(f"{name}: not tested, it has no value a user")
    if pair.comparisons:
        margin = pair.comparisons[0].margin
        print(
            "difference: A minus B with its 95% interval over users; p: paired sign-flip test, "
            "exploratory, not corrected for the number of metrics; equivalent: the 90% interval "
            f"lies within {margin:g} of 0; detectable: the smallest difference that 4 of 5 studies "
            f"of so many users would find at {SIGNIFICANCE:.0%}"
        )
    if pair.lists:
        console.print(_rankings(pair.lists))
    if pair.lines:
        console.print(_slices(pair.lines, pair.comparisons[0].metric))
    for note in pair.notes:
        print(f"note: {note}")


def _metrics(comparisons: Sequence[Comparison]) -> Table:
    table = _table("metric", "A", "B", "difference", "p", "A is", "detectable")
    for own in comparisons:
        table.add_row(
            own.metric,
            _short(own.first_mean),
            _short(own.second_mean),
            _signed(own.difference),
            p_value(own.p),
            own.verdict,
            _short(own.detectable),
        )
    return table


def _print_seeds(own: Comparison) -> None:
    """What seeds do, where there are several, and McNemar's test within each."""
    if max(len(own.first_seeds), len(own.second_seeds)) > 1:
        sides = (own.first_seeds, own.second_seeds)
        told = (", ".join(map(_short, values)) or "unknown" for values in sides)
        print(f"{own.metric} by seed: A {'; B '.join(told)}")
    if own.mcnemar:
        tests = ", ".join(f"seed {seed} p {p_value(p)}" for seed, p in own.mcnemar.items())
        print(f"{own.metric}, McNemar within a seed: {tests}")


def _rankings(lists: Sequence[ListQuality]) -> Table:
    table = _table("rankings", *("A", "B")[: len(lists)])
    facts: tuple[tuple[str, Callable[[ListQuality], float | None]], ...] = (
        ("negative log-likelihood of the target, nats", lambda own: own.nll),
        ("probability of the first item", lambda own: own.confidence),
        ("share where it is the target", lambda own: own.accuracy),
        ("expected calibration error", lambda own: own.calibration_error),
        ("share of the catalogue in somebody's first 10", lambda own: own.coverage),
        ("popularity lift of the first 10", lambda own: own.popularity_lift),
    )
    for name, value in facts:
        found = [value(own) for own in lists]
        table.add_row(name, *("n/a" if one is None else _short(one) for one in found))
    return table


def _slices(lines: Sequence[Line], metric: str) -> Table:
    table = _table(f"{metric} where", "users", "A", "B", "difference")
    pairs: dict[tuple[str, str], dict[bool, Line]] = {}
    for line in lines:
        pairs.setdefault((line.slicing, line.slice), {})[line.difference is None] = line
    before = ""
    for (slicing, name), own in pairs.items():
        if slicing != before:
            table.add_row(f"{slicing}:", "", "", "", "")
            before = slicing
        first, second = own[False], own[True]
        assert first.difference is not None
        means = (_short(first.mean.value), _short(second.mean.value))
        table.add_row(f"  {name}", f"{first.users:,}", *means, _signed(first.difference))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _short(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.3f}"


def _signed(own: Estimate) -> str:
    return f"{own.value:+.3f} [{own.low:+.3f}, {own.high:+.3f}]"


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
