"""Axes and legends of figures: scales, where ticks stand, and columns. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

FAR_APART = 8.0
"""A logarithmic scale helps where the largest value is more than so many times the smallest."""


def far_apart(values: Sequence[float]) -> bool:
    """Whether a logarithmic scale shows some values better."""
    return min(values) > 0 and max(values) > FAR_APART * min(values)


def tick_at(axes: Axes, values: Sequence[float], inches: float) -> None:
    """A horizontal axis with ticks at some values and nowhere else, logarithmic where that helps.

    Args:
        axes: Whose axis.
        values: In order; labels that would touch the one before are left out.
        inches: About how wide it will be.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    scale, back = (log, exp) if far_apart(values) else (float, float)
    low, high = scale(values[0]), scale(values[-1])
    if scale is log:
        axes.set_xscale("log")
    pad = 0.07 * (high - low) or 0.5 * abs(values[0]) or 0.5
    axes.set_xlim(back(low - pad), back(high + pad))
    shown: list[float] = []
    for value in reversed(values):  # the last one is always labelled
        room = len(number(value)) + (len(number(shown[-1])) if shown else 0)
        apart = (scale(shown[-1]) - scale(value)) / (high - low + 2 * pad) if shown else 1.0
        if apart * inches > 0.04 * room + 0.06:
            shown.append(value)
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(FixedLocator([own for own in values if own not in shown]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def number(value: float) -> str:
    """A number as axes and labels show it."""
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:g}"


def scale_up(axes: Axes, values: Sequence[float], unit: str = "") -> None:
    """A vertical axis for amounts: logarithmic where that helps, else from zero.

    Args:
        axes: Whose axis.
        values: What is drawn there.
        unit: With one, labels have prefixes, such as `ms`.
    """
    from matplotlib.ticker import EngFormatter, FuncFormatter

    if far_apart(values):
        axes.set_yscale("log")
        axes.set_ylim(min(values) / 1.5, max(values) * 1.5)
        tick_by_size(axes.yaxis, values)
    else:
        axes.set_ylim(0, max(values) * 1.1 or 1.0)
    axes.yaxis.set_major_formatter(
        EngFormatter(unit) if unit else FuncFormatter(lambda y, _: number(y))
    )


def tick_by_size(axis: Axis, values: Sequence[float]) -> None:
    """Labels powers of ten on a logarithmic axis, between them too where it shows few."""
    from matplotlib.ticker import LogLocator, NullFormatter

    wide = max(values) > 150 * min(values)
    axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axis.set_minor_formatter(NullFormatter())


def reach_from_zero(axes: Axes, values: Sequence[float]) -> None:
    """Begins the vertical axis at zero, unless that would take most of it."""
    low, high = min(values), max(values)
    if 0 <= low < 0.6 * high or low == high:
        axes.set_ylim(0, high * 1.06 or 1.0)


def in_columns(labels: Sequence[str], inches: float) -> tuple[int, int]:
    """Columns of a legend that is as wide as it may be, and how many lines high it is."""
    import numpy as np

    lines = [label.split("\n") for label in labels]
    for columns in range(len(labels), 0, -1):
        parts = [[lines[n] for n in part] for part in np.array_split(range(len(lines)), columns)]
        widths = [0.67 + 0.068 * max(len(line) for own in part for line in own) for part in parts]
        if sum(widths) <= inches or columns == 1:
            return columns, max(sum(len(own) for own in part) for part in parts)
    return 1, 0
