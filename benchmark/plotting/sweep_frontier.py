"""Figure of a sweep: quality against FLOPs, with what no other method beats. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from benchmark.axes.sweep_points import Point
from benchmark.plotting.scales import number, reach_from_zero, tick_by_size
from benchmark.plotting.style import INK, MUTED, place_labels
from benchmark.plotting.sweep_canvas import Canvas
from benchmark.plotting.sweep_lines import MARK, OPEN, About, Series, axis_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WATCHED = ("next_item", "recall@10")
"""Task and metric that validation watches while a method learns."""
_MANY = 16
"""With more points in a panel, only the ends of each line are labelled."""
_FRONTIER: Mapping[str, Any] = {"color": INK, "linewidth": 1.0}
_RING: Mapping[str, Any] = {
    "marker": "o", "markersize": 11, "markerfacecolor": "none", "markeredgecolor": INK,
}  # fmt: skip


def frontier(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Points that no other beats: none is as cheap and as good, and better in one of both.

    >>> frontier([1.0, 2.0, 3.0], [0.1, 0.3, 0.2])
    [0, 1]

    Returns:
        Their numbers, the cheapest first.
    """
    kept: list[int] = []
    for n in sorted(range(len(costs)), key=lambda own: (costs[own], -values[own])):
        last = (costs[kept[-1]], values[kept[-1]]) if kept else None
        if last is None or values[n] > last[1] or (costs[n], values[n]) == last:
            kept.append(n)
    return kept


def draw_frontier(points: Sequence[Point], axis: str, about: About) -> Figure | None:
    """Quality against FLOPs of an answer and of training; None where no point has both."""
    metric = about.metrics[-1] if about.metrics else ""
    judged = [point for point in points if metric in point.metrics]
    panels = [
        (field, name)
        for field, name in (
            ("answer_flops", "FLOPs of an answer"),
            ("training_flops", "FLOPs of training, all stages counted"),
        )
        if any(getattr(point.cost, field) for point in judged)
    ]
    if not panels:
        return None
    title = f"{about.subject}: {metric} against what it costs"
    canvas = Canvas(title, about, axis, points, len(panels))
    marks = [
        _draw_costs(canvas, panel, field, metric)
        for panel, (field, _) in zip(canvas.panels, panels, strict=True)
    ]
    for panel, (_, name) in zip(canvas.panels, panels, strict=True):
        panel.set_xlabel(name, fontsize=9)
        panel.set_ylabel(metric, fontsize=9)
    drawn = {mark.line.method for found in marks for mark in found}
    lacking = {line.method: "not measured" for line in canvas.lines if line.method not in drawn}
    canvas.name_methods(lacking)
    canvas.entry("frontier", **_FRONTIER, **_RING)
    sign = {"color": MUTED, "linestyle": "none", "markeredgewidth": 0.3}
    label = f"$\\mathdefault{{{canvas.values[0]:g}}}$"
    canvas.entry(f"at a mark: {axis_name(axis)}", marker=label, **sign | {"markersize": 13})
    if any(panel.get_gid() == "edge" for panel in canvas.panels):
        canvas.entry("left edge: no FLOPs", marker="$\\leftarrow$", **sign | {"markersize": 11})
    if any(own.get_gid() == "curve" for panel in canvas.panels for own in panel.lines):
        canvas.entry(f"{metric} on validation while training", alpha=0.35, linewidth=1.0)
    canvas.name_truncated(lacking)
    figure = canvas.finish()
    for panel, found in zip(canvas.panels, marks, strict=True):
        _label(figure, panel, found)
    return figure


@dataclass(frozen=True)
class _Mark:
    """A point of one panel: value of the axis, FLOPs (never zero) and quality."""

    line: Series
    x: float
    flops: float
    quality: float
    truncated: bool


def _draw_costs(canvas: Canvas, panel: Axes, field: str, metric: str) -> list[_Mark]:
    """One panel; what costs nothing stands at its left edge, as a logarithmic axis has no zero."""
    marks: list[_Mark] = []
    for line in canvas.lines:
        seen: set[int] = set()
        for x, point in line.places:
            flops = getattr(point.cost, field)
            if metric in point.metrics and flops is not None and id(point) not in seen:
                seen.add(id(point))
                quality, truncated = point.metrics[metric].value, point.cost.truncated_users > 0
                marks.append(_Mark(line, x, flops, quality, truncated))
    from matplotlib.ticker import EngFormatter

    costs = [mark.flops for mark in marks if mark.flops > 0]
    if len(costs) < len(marks):
        panel.set_gid("edge")
        marks = [replace(mark, flops=mark.flops or min(costs) / 4) for mark in marks]
    qualities = [mark.quality for mark in marks]
    if field == "training_flops" and (canvas.about.task, metric) == _WATCHED:
        for flops, value in _draw_curves(canvas, panel):
            costs.append(flops)
            qualities.append(value)
    for line in canvas.lines:
        own = [mark for mark in marks if mark.line is line]
        look = line.look(MARK) | {"linewidth": 1.2, "zorder": 3}
        panel.plot([mark.flops for mark in own], [mark.quality for mark in own], **look)
        cut = [mark for mark in own if mark.truncated]
        look |= {**OPEN, "markeredgecolor": line.colour}
        panel.plot([mark.flops for mark in cut], [mark.quality for mark in cut], **look)
    xs, ys = zip(*_best(marks), strict=True)
    panel.plot(xs, ys, drawstyle="steps-post", zorder=2, **_FRONTIER)
    panel.plot(xs, ys, color=INK, linestyle="none", zorder=5, **_RING)
    costs += [mark.flops for mark in marks]
    low, high = min(costs), max(costs)
    panel.set_xscale("log")
    panel.set_xlim(low / 1.4, high * 1.5 * (high / low) ** 0.06)
    tick_by_size(panel.xaxis, costs)
    panel.xaxis.set_major_formatter(EngFormatter(sep=" "))
    reach_from_zero(panel, qualities)
    return marks


def _best(marks: Sequence[_Mark]) -> list[tuple[float, float]]:
    best = frontier([mark.flops for mark in marks], [mark.quality for mark in marks])
    return [(marks[n].flops, marks[n].quality) for n in best]


def _draw_curves(canvas: Canvas, panel: Axes) -> list[tuple[float, float]]:
    """Faint lines of validation while training; gives their FLOPs and values."""
    drawn: list[tuple[float, float]] = []
    curves = {id(point): (line, point) for line in canvas.lines for _, point in line.places}
    for line, point in curves.values():
        looks = [(look.training_flops, look.value) for look in point.curve]
        looks = [look for look in looks if look[0] > 0]
        if looks:
            panel.plot(
                *zip(*looks, strict=True), color=line.colour, alpha=0.3, linewidth=0.9, zorder=1,
                gid="curve", marker=line.marker if len(looks) == 1 else None, markersize=3,
            )  # fmt: skip
        drawn += looks
    return drawn


def _label(figure: Figure, panel: Axes, marks: Sequence[_Mark]) -> None:
    """Writes the value of the axis beside each mark; of many, beside the ends of each line."""
    lines: dict[int, list[_Mark]] = {}
    places: dict[tuple[int, float, float], list[float]] = {}
    for mark in marks:
        lines.setdefault(id(mark.line), []).append(mark)
        places.setdefault((id(mark.line), mark.flops, mark.quality), []).append(mark.x)
    labels = []
    for mark in marks:
        same = places[id(mark.line), mark.flops, mark.quality]
        own = lines[id(mark.line)]
        shown = mark.x == same[0] and (len(marks) <= _MANY or mark.x in {own[0].x, own[-1].x})
        told = number(same[0]) if len(same) == 1 else f"{number(same[0])} to {number(same[-1])}"
        labels.append(told if shown else "")
    paths = [[(mark.flops, mark.quality) for mark in own] for own in lines.values()]
    for (x, y), (after, above) in pairwise(_best(marks)):
        paths.append([(x, y), (after, y), (after, above)])
    qualities = [mark.quality for mark in marks]
    place_labels(
        figure, panel, [mark.flops for mark in marks], qualities,
        [(quality, quality) for quality in qualities], labels,
        [mark.line.colour for mark in marks], paths,
    )  # fmt: skip
