"""Lines of the figures of a sweep: which there are and how they look. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.axes.sweep_points import Point
from benchmark.plotting.style import LINES, spoken, style_of
from benchmark.records.differences import Estimate

MARK = 6.0
"""Points: how large a mark is."""
OPEN: Mapping[str, Any] = {
    "markerfacecolor": "white", "markeredgewidth": 1.3, "linestyle": "none", "zorder": 4,
}  # fmt: skip
"""How marks of truncated points differ; their edge has the line's colour."""
_NAMES = {"seq_len": ("history length", "history length, events (seq_len)")}
"""Axis → what a title calls it, and what stands along it."""


@dataclass(frozen=True)
class About:
    """What figures of a sweep say of where their numbers come from.

    Attributes:
        task: Its name.
        dataset: Its name.
        metrics: What is drawn, the most telling one last.
        measured: One line: what was measured on what.
        note: One more, such as a difference in code; "" = none.
        other: The second axis; "" where there is one only.
        name: How file names begin; "" = made of axes, data set and task.
    """

    task: str
    dataset: str
    metrics: Sequence[str]
    measured: str
    note: str = ""
    other: str = ""
    name: str = ""

    @property
    def subject(self) -> str:
        """What was asked of which data, as titles begin."""
        return f"{spoken(self.task)} on {self.dataset}"


@dataclass(frozen=True)
class Series:
    """One line of a figure: a method, at one value of the second axis where there are two.

    Attributes:
        method: Its name.
        second: The value of the second axis; None where the method does not depend on one.
        places: Value of the axis and what was found there, in order. A point that does not depend
            on the axis is at every value.
        colour: The method's.
        marker: The method's.
        line: Line style, by the value of the second axis.
    """

    method: str
    second: float | None
    places: tuple[tuple[float, Point], ...]
    colour: str
    marker: str
    line: Any = "-"

    def look(self, size: float) -> dict[str, Any]:
        """How it is drawn, with marks of some size."""
        size *= 1.25 if self.marker in "^vPX*<>" else 1.0  # these have less area
        return {
            "color": self.colour, "marker": self.marker, "markersize": size,
            "markeredgecolor": "white", "markeredgewidth": 0.5, "linestyle": self.line,
            "linewidth": 1.6,
        }  # fmt: skip

    def costs(self, field: str) -> list[float | None]:
        """A number of `Cost` at every place; None where it is zero, too."""
        return [getattr(point.cost, field) or None for _, point in self.places]

    def metrics(self, name: str) -> list[Estimate | None]:
        """A metric at every place."""
        return [point.metrics.get(name) for _, point in self.places]


def series_of(points: Sequence[Point], axis: str, other: str) -> list[Series]:
    """Lines by method, in the order in which methods appear, which their colours go by."""
    values = sorted({point.axes[axis] for point in points if axis in point.axes})
    seconds = sorted({point.axes[other] for point in points if other in point.axes})
    found: dict[tuple[str, float | None], list[tuple[float, Point]]] = {}
    for point in points:
        places = found.setdefault((point.method, point.axes.get(other)), [])
        if not point.na:
            there = [point.axes[axis]] if axis in point.axes else values
            places.extend((x, point) for x in there)
    methods = list(dict.fromkeys(method for method, _ in found))
    return [
        Series(
            method,
            second,
            tuple(sorted(places, key=lambda place: place[0])),
            *style_of(methods.index(method)),
            LINES[0 if second is None else seconds.index(second) % len(LINES)],
        )
        for (method, second), places in found.items()
    ]


def axis_name(axis: str) -> str:
    """What a title calls an axis."""
    return _NAMES.get(axis, (axis, axis))[0]


def axis_label(axis: str) -> str:
    """What stands along an axis."""
    return _NAMES.get(axis, (axis, axis))[1]
