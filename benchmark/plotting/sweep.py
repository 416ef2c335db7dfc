"""Figures of a sweep: quality and cost against what was varied. Made from points alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.axes.sweep_points import Point
from benchmark.display.visible import file_name
from benchmark.plotting.scales import reach_from_zero, scale_up
from benchmark.plotting.style import INK, MUTED, save
from benchmark.plotting.sweep_canvas import Canvas
from benchmark.plotting.sweep_frontier import draw_frontier
from benchmark.plotting.sweep_lines import About, axis_name
from benchmark.plotting.sweep_reduction import draw_reduction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WHISKER: Mapping[str, Any] = {"color": MUTED, "marker": "|", "linestyle": "none"}
_KEYS, _KEPT = "KV cache of a question", (0, (4, 2))

__all__ = ["About", "draw_sweep"]


def draw_sweep(points: Sequence[Point], axis: str, folder: Path, about: About) -> list[Path]:
    """Draws every figure for which there are numbers, as PNG and SVG.

    Args:
        points: What was found; methods keep the colours of their order in all figures.
        axis: What was varied, the horizontal axis.
        folder: Where the files go.
        about: What was measured on what.

    Returns:
        The files.
    """
    axes = "-".join(filter(None, (axis, about.other)))
    name = file_name(about.name or f"sweep-{axes}-{about.dataset}-{about.task}")
    figures = {
        "quality": draw_quality,
        "tokens": draw_tokens,
        "reduction": draw_reduction,
        "latency": draw_latency,
        "frontier": draw_frontier,
    }
    files: list[Path] = []
    for kind, draw in figures.items():
        figure = draw(points, axis, about)
        if figure is not None:
            files += save(figure, folder / f"{name}-{kind}")
    return files


def draw_quality(points: Sequence[Point], axis: str, about: About) -> Figure | None:
    """A panel a metric, a line a method with its 95% interval; None without numbers."""
    metrics = [name for name in about.metrics if any(name in point.metrics for point in points)]
    if not metrics:
        return None
    title = f"{about.subject}: quality against {axis_name(axis)}"
    canvas = Canvas(title, about, axis, points, len(metrics))
    for metric, panel in zip(metrics, canvas.panels, strict=True):
        ends: list[float] = []
        for line in canvas.lines:
            found = line.metrics(metric)
            columns = [
                [getattr(own, end) if own else None for own in found]
                for end in ("value", "low", "high")
            ]
            ends += canvas.draw(panel, line, *columns)
        reach_from_zero(panel, ends)
        panel.set_title(metric, loc="left", fontsize=10, color=INK)
    canvas.along(canvas.panels)
    canvas.name_methods(
        {
            line.method: "not measured"
            for line in canvas.lines
            if not any(metric in point.metrics for _, point in line.places for metric in metrics)
        }
    )
    canvas.entry("whiskers: 95% interval over users", **_WHISKER)
    canvas.name_truncated()
    return canvas.finish()


def draw_tokens(points: Sequence[Point], axis: str, about: About) -> Figure | None:
    """Tokens that the language model reads of a question; None where no method has one."""
    if not any(point.cost.llm_input_tokens for point in points):
        return None
    title = f"{about.subject}: tokens that the language model reads, against {axis_name(axis)}"
    canvas = Canvas(title, about, axis, points, 1)
    (panel,) = canvas.panels
    values: list[float] = []
    lacking = {}
    canvas.among = [line for line in canvas.lines if any(line.costs("llm_input_tokens"))]
    for line in canvas.lines:
        most = line.costs("llm_input_tokens_max")
        if line in canvas.among:
            values += canvas.draw(panel, line, line.costs("llm_input_tokens"), highs=most)
        elif line.places:
            metered = any(point.cost.answer_flops is not None for _, point in line.places)
            lacking[line.method] = "no language model" if metered else "not measured"
    scale_up(panel, values)
    panel.set_ylabel("LLM input tokens of a question, mean over users", fontsize=9)
    canvas.along([panel])
    canvas.name_methods(lacking)
    if any(
        (own.cost.llm_input_tokens_max or 0) > (own.cost.llm_input_tokens or 0) for own in points
    ):
        canvas.entry("whiskers: up to the most of one user", **_WHISKER)
    canvas.name_truncated(lacking)
    return canvas.finish()


def draw_latency(points: Sequence[Point], axis: str, about: About) -> Figure | None:
    """Seconds and bytes of one answer; a panel only for what there are numbers of."""
    timed = any(point.cost.latency_seconds for point in points)
    sized = any(point.cost.answer_memory_bytes for point in points)
    kept = any(point.cost.kv_cache_bytes for point in points)
    if not (timed or sized or kept):
        return None
    # Line styles of a grid say the second axis, so that keys and values get a panel there.
    apart = kept and sized and bool(about.other)
    said = [word for word, there in (("latency", timed), ("memory", sized or kept)) if there]
    title = f"{about.subject}: {' and '.join(said)} of an answer, against {axis_name(axis)}"
    canvas = Canvas(title, about, axis, points, timed + (sized or kept) + apart)
    free = iter(canvas.panels)
    values: list[float] = []
    if timed:
        panel = next(free)
        for line in canvas.lines:
            slow = line.costs("latency_seconds_p95")
            values += canvas.draw(panel, line, line.costs("latency_seconds"), highs=slow)
        scale_up(panel, values, "s")
        panel.set_title("latency, one user at a time", loc="left", fontsize=10, color=INK)
    panels = list(free)
    sizes: list[list[float]] = [[] for _ in panels]
    for line in canvas.lines if panels else ():
        dashed: dict[str, Any] = (
            {"linestyle": _KEPT, "linewidth": 1.1, "size": 4.5} if sized and not apart else {}
        )
        sizes[0] += canvas.draw(panels[0], line, line.costs("answer_memory_bytes"))
        sizes[-1] += canvas.draw(panels[-1], line, line.costs("kv_cache_bytes"), **dashed)
    headings = ["memory beside the weights" if sized else _KEYS, _KEYS]
    for panel, own, heading in zip(panels, sizes, headings, strict=False):
        scale_up(panel, own, "B")
        panel.set_title(heading, loc="left", fontsize=10, color=INK)
    canvas.along(canvas.panels)
    canvas.name_methods()
    spread = any(
        (own.cost.latency_seconds_p95 or 0) > (own.cost.latency_seconds or 0) for own in points
    )
    if timed and spread:
        canvas.entry("latency: median, whiskers: to 95th percentile", **_WHISKER)
    if kept and sized and not apart:
        canvas.entry("memory: all of an answer", color=MUTED)
        canvas.entry(f"memory: {_KEYS}", color=MUTED, linestyle=_KEPT, linewidth=1.1)
    canvas.name_truncated()
    return canvas.finish()
