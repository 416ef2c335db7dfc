"""What all figures of a sweep share: their lines, header, ticks and legend. Free of torch."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from benchmark.axes.sweep_points import Point
from benchmark.display.visible import NAME, bounded
from benchmark.plotting.scales import in_columns, number, tick_at
from benchmark.plotting.style import INK, MUTED, clear_frame
from benchmark.plotting.sweep_lines import MARK, OPEN, About, Series, axis_label, series_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

WIDTH = 9.6
"""Inches."""
_PANEL, _WIDER = 3.5, 3.2
"""Inches: height of a row of panels, and what a fourth and later panel adds to the width."""
_CHARACTERS, _LINE, _TITLE = 15.0, 0.155, 0.34
"""Of the header: characters an inch, inches a line below the title, and the title's own."""
_LEGEND_LINE = 0.19
_ENTRY = 52
"""Most characters of a line of the legend."""
_REASON = 60
"""Most characters of why a point has no numbers; the table has the whole line."""


class Canvas:
    """A figure in the making: panels side by side below a header, above a legend.

    Args:
        title: What is shown, in bold.
        about: Where the numbers come from.
        axis: The axis of the sweep.
        points: All points; those without numbers are named in the header.
        panels: How many.

    Attributes:
        lines: All that there is.
        among: Those that stand side by side in a panel.
        values: Of the axis, where there are numbers.
    """

    def __init__(
        self, title: str, about: About, axis: str, points: Sequence[Point], panels: int
    ) -> None:
        from matplotlib.figure import Figure

        self.about, self.axis = about, axis
        self.lines = series_of(points, axis, about.other)
        self.among: Sequence[Series] = self.lines
        self.values = sorted({x for line in self.lines for x, _ in line.places})
        self._title = title
        self._failures = _failures(points, axis)
        self._width = WIDTH + _WIDER * max(0, panels - 3)
        self.figure: Figure = Figure(figsize=(self._width, 5.0), layout="constrained")
        self.panels: list[Axes] = list(self.figure.subplots(1, panels, squeeze=False).flat)
        for panel in self.panels:
            clear_frame(panel, "both")
            panel.tick_params(labelsize=8.5)
        self._legend: list[tuple[Line2D, str]] = []
        self._said: set[str] = set()

    def along(self, panels: Sequence[Axes]) -> None:
        """Puts the axis of the sweep below some panels, with ticks where it was measured."""
        for panel in panels:
            tick_at(panel, self.values, 0.8 * self._width / len(self.panels))
            panel.set_xlabel(axis_label(self.axis), fontsize=9)

    def draw(
        self,
        panel: Axes,
        line: Series,
        values: Sequence[float | None],
        lows: Sequence[float | None] = (),
        highs: Sequence[float | None] = (),
        **style: Any,
    ) -> list[float]:
        """Draws one line, its truncated points with open markers.

        Args:
            panel: Where.
            line: What.
            values: One a place; it is left out where there is none.
            lows: Lower ends of whiskers; none = the values themselves.
            highs: Upper ends.
            style: What differs from the usual look.

        Returns:
            The values and ends that were drawn.
        """
        from matplotlib.transforms import ScaledTranslation

        found = zip_longest(line.places, values, lows, highs)
        there = [(x, own, y, low, high) for (x, own), y, low, high in found if y is not None]
        if not there:
            return []
        # Whiskers and equal values stand side by side; what is drawn is still the value itself.
        shift = ScaledTranslation(self._shift(line) / 72, 0, self.figure.dpi_scale_trans)
        look: dict[str, Any] = {"transform": panel.transData + shift, "color": line.colour}
        xs, ys = [x for x, *_ in there], [y for _, _, y, *_ in there]
        floor = [y if low is None else min(low, y) for _, _, y, low, _ in there]
        top = [y if high is None else max(high, y) for _, _, y, _, high in there]
        if floor != top:
            below = [y - low for y, low in zip(ys, floor, strict=True)]
            above = [high - y for y, high in zip(ys, top, strict=True)]
            panel.errorbar(
                xs, ys, yerr=[below, above], fmt="none", elinewidth=1.0, capsize=2.2, alpha=0.75,
                zorder=2, **look,
            )  # fmt: skip
        look |= line.look(style.pop("size", MARK)) | {"zorder": 3} | style
        panel.plot(xs, ys, **look)
        cut = [(x, y) for x, own, y, *_ in there if own.cost.truncated_users > 0]
        if cut:
            panel.plot(*zip(*cut, strict=True), **{**look, **OPEN, "markeredgecolor": line.colour})
        return [*ys, *floor, *top]

    def _shift(self, line: Series) -> float:
        """Points to the right, so that no two lines stand at quite the same place."""
        step = min(4.0, 18 / len(self.among)) if len(self.values) > 1 else 12.0
        return step * (self.among.index(line) - (len(self.among) - 1) / 2)

    def entry(self, label: str, **style: Any) -> None:
        """Adds a line to the legend, once."""
        from matplotlib.lines import Line2D

        if label not in self._said:
            self._said.add(label)
            usual: dict[str, Any] = {"color": INK, "linewidth": 1.6, "markersize": MARK}
            wrapped = "\n".join(textwrap.wrap(bounded(label, NAME), _ENTRY))
            self._legend.append((Line2D([], [], **usual | style), wrapped))

    def name_methods(self, lacking: Mapping[str, str] | None = None) -> None:
        """Adds the methods to the legend, and values of the second axis where there are two.

        Args:
            lacking: Method → why it is not drawn; others that have points are.
        """
        lacking = lacking or {}
        for line in self.lines:
            look = line.look(MARK) | {"linestyle": "-"}
            if line.method in lacking:
                told = f"{line.method}: {lacking[line.method]}"
                self.entry(told, **look | {"linestyle": "none", "alpha": 0.5})
            elif line.places:
                any_value = line.second is None and bool(self.about.other)
                self.entry(line.method + (", at any value" if any_value else ""), **look)
        for line in self.lines:
            if line.second is not None and line.method not in lacking:
                self.entry(f"{self.about.other}={line.second:g}", linestyle=line.line)

    def name_truncated(self, lacking: Mapping[str, str] | None = None) -> None:
        """Adds to the legend what open markers mean, where some were drawn."""
        cut = [
            (point.cost, f"{line.method} at {number(x)}")
            for line in self.lines
            for x, point in line.places
            if point.cost.truncated_users > 0 and line.method not in (lacking or {})
        ]
        if cut:
            worst, where = max(cut, key=lambda own: own[0].truncated_users)
            share, events = worst.truncated_users, worst.dropped_events / worst.truncated_users
            amount = f"{events:,.0f}" if events >= 10 else f"{events:.2g}"
            most, of = ("up to ", f" ({where})") if len(cut) > 1 else ("", "")
            self.entry(
                f"truncated: {most}{100 * share:.3g}% of users lost {amount} events on "
                f"average{of}",
                color=MUTED, marker="o", markerfacecolor="white", linestyle="none",
            )  # fmt: skip

    def finish(self) -> Figure:
        """Adds header and legend, and makes room for both."""
        header = [self.about.measured, self.about.note, self._failures]
        wide = int((self._width - 0.2) * _CHARACTERS)
        lines = [line for own in header for line in textwrap.wrap(bounded(own), wide)]
        columns, rows = in_columns([label for _, label in self._legend], self._width - 0.3)
        top = _TITLE + _LINE * len(lines) + 0.08
        height = top + _PANEL + _LEGEND_LINE * rows + 0.15
        self.figure.set_figheight(height)
        engine = self.figure.get_layout_engine()
        assert engine is not None
        engine.set(rect=(0.004, 0.006, 0.99, 1 - top / height))  # type: ignore[call-arg]
        self.figure.text(
            0.01, 1 - 0.08 / height, self._title,
            ha="left", va="top", fontsize=12, fontweight="bold", color=INK,
        )  # fmt: skip
        self.figure.text(
            0.01, 1 - _TITLE / height, "\n".join(lines),
            ha="left", va="top", fontsize=8.5, color=MUTED,
        )  # fmt: skip
        self.figure.legend(
            [handle for handle, _ in self._legend], [label for _, label in self._legend],
            loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5,
            columnspacing=1.4, handlelength=2.4, labelspacing=0.35,
        )  # fmt: skip
        return self.figure


def _failures(points: Sequence[Point], axis: str) -> str:
    """Which points have no numbers, by reason, or ""."""
    found: dict[tuple[str, str], list[str]] = {}
    for point in points:
        if point.na:
            reason = textwrap.shorten(point.na, _REASON, placeholder="...")
            others = [f"{name}={own:g}" for name, own in point.axes.items() if name != axis]
            at = [number(point.axes[axis])] if axis in point.axes else []
            found.setdefault((point.method, reason), []).append(" with ".join([*at, *others]))
    told = [
        f"{method} at {', '.join(places)} ({reason})" for (method, reason), places in found.items()
    ]
    return f"no numbers: {'; '.join(told)}" if told else ""
