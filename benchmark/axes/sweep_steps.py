"""What a sweep of history lengths varies unasked, from records alone. Free of torch.

Histories that are shorter than a length leave its batches emptier, so that as many targets take
more steps of the optimizer; and lengths beyond the longest history read the same events.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.axes.sweep_axes import SEQ_LEN
from benchmark.axes.sweep_points import Point
from benchmark.errors import UserError
from benchmark.records.example_files import read_examples

_EVENTS = "history_events"
"""Column of examples: events before the target, read or not."""
_EVEN = 1.05
"""Lengths whose numbers of steps differ by a smaller factor are said to take as many."""


def cautions(points: Sequence[Point]) -> list[str]:
    """What else than the length differs between the places of a sweep, a sentence each.

    Args:
        points: Of one task; those without a length, or without records, say nothing.
    """
    lines = [*_uneven_steps(points), _beyond_histories(points)]
    return [line for line in lines if line]


def _uneven_steps(points: Sequence[Point]) -> list[str]:
    """Stages that take more steps at some lengths than at others."""
    found: dict[tuple[str, str, tuple[str, ...]], dict[float, float]] = {}
    for point in points:
        records = [row.record for row in point.rows if row.record is not None]
        if SEQ_LEN not in point.axes or not records:
            continue
        other = tuple(f"{name}={v:g}" for name, v in point.axes.items() if name != SEQ_LEN)
        steps: dict[str, list[int]] = {}
        for record in records:
            for stage in record.fit.stages:
                steps.setdefault(stage.name, []).append(stage.steps)
        for name, counts in steps.items():
            places = found.setdefault((point.method, name, other), {})
            places[point.axes[SEQ_LEN]] = sum(counts) / len(counts)
    told = []
    for (method, name, other), places in found.items():
        if max(places.values()) > _EVEN * max(1.0, min(places.values())):
            at = ", ".join(f"{length:g}: {count:,.0f}" for length, count in sorted(places.items()))
            told.append(f"{' '.join([method, *other])}, {name}: {at}")
    if not told:
        return []
    return [f"optimizer steps differ with {SEQ_LEN}, not the length alone: {'; '.join(told)}"]


def _beyond_histories(points: Sequence[Point]) -> str:
    """Lengths that no history of anybody who was asked reaches, "" where there are none."""
    lengths = sorted({point.axes[SEQ_LEN] for point in points if SEQ_LEN in point.axes})
    longest = _longest_history(points)
    beyond = [length for length in lengths if longest is not None and length > longest]
    if not beyond:
        return ""
    listed = ", ".join(f"{length:g}" for length in beyond)
    same = "reads all of it" if len(beyond) == 1 else "read the same"
    asked = f"the longest history that was asked about has {longest:,} events"
    return f"{asked}: {SEQ_LEN} {listed} {same}"


def _longest_history(points: Sequence[Point]) -> int | None:
    """Events of the longest history that was asked about; None where no examples say it."""
    for row in (row for point in points for row in point.rows):
        if row.record is None or row.path is None:
            continue
        try:
            frame = read_examples(row.path)
        except UserError:  # of this run only the record was kept
            continue
        if _EVENTS in frame.columns and len(frame):
            return int(frame[_EVENTS].max())  # type: ignore[arg-type]
    return None
