"""Figure of a sweep: how much more arithmetic a text prompt takes than USER-LLM. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from benchmark.axes.sweep_points import Point
from benchmark.plotting.scales import scale_up
from benchmark.plotting.style import INK, MUTED, place_labels
from benchmark.plotting.sweep_canvas import Canvas
from benchmark.plotting.sweep_lines import MARK, About, Series, axis_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

USER_LLM, TEXT_PROMPT = "user_llm", "text_prompt"
"""A method, and how the names of those begin that it is compared with."""
STUDY = 78.1
"""The study's best reduction."""
_MANY = 16
"""With more numbers in a panel, none is written beside its mark."""
_KINDS: Sequence[tuple[str, str, dict[str, Any]]] = (
    ("prompt_flops", "reading the question, encoder included", {"linewidth": 2.6}),
    (
        "llm_prompt_flops",
        "reading the question, language model alone",
        {"linewidth": 1.1, "linestyle": (0, (1, 1.4)), "size": 4.0, "zorder": 3.5},
    ),
    (
        "answer_flops",
        "the whole answer, decoding included",
        {"linewidth": 1.0, "linestyle": (0, (9, 5)), "size": 4.0, "zorder": 3.6},
    ),
)
"""Field of the cost, what a legend calls its ratio, and how it is drawn."""


def draw_reduction(points: Sequence[Point], axis: str, about: About) -> Figure | None:
    """FLOPs of text prompts over USER-LLM's; None unless both are there at one place.

    With two axes there is a panel a value of the second one.
    """
    title = (
        f"{about.subject}: FLOPs reduction, text prompt over USER-LLM, against {axis_name(axis)}"
    )
    seconds = sorted({own.axes[about.other] for own in points if about.other in own.axes})
    canvas = Canvas(title, about, axis, points, max(1, len(seconds)))
    found = [
        _draw_ratios(canvas, panel, second) for panel, second in zip_longest(canvas.panels, seconds)
    ]
    ratios = [ratio for own in found for path in own for _, ratio in path.marks]
    if not ratios:
        return None
    for panel in canvas.panels:
        panel.axhline(STUDY, color=MUTED, linewidth=0.9, zorder=1)
        scale_up(panel, [*ratios, STUDY])
    canvas.panels[0].set_ylabel("FLOPs, text prompt over USER-LLM", fontsize=9)
    canvas.along(canvas.panels)
    drawn = {path.line.method: path.line for own in found for path in own}
    for method, line in drawn.items():
        canvas.entry(f"{method} over {USER_LLM}", **line.look(MARK) | {"linestyle": "-"})
    fields = {path.field for own in found for path in own}
    for field, kind, look in _KINDS:
        if field in fields:
            style = {name: own for name, own in look.items() if name not in ("size", "zorder")}
            canvas.entry(kind, color=MUTED, **style)
    canvas.entry(f"the study's best, {STUDY:g}", color=MUTED, linewidth=0.9)
    canvas.name_truncated({line.method: "" for line in canvas.lines if line.method not in drawn})
    figure = canvas.finish()
    for panel, own in zip(canvas.panels, found, strict=True):
        _write_ratios(figure, panel, own)
    return figure


@dataclass(frozen=True)
class _Path:
    """A line of ratios that was drawn: its method, field of `Cost`, and value of axis → ratio."""

    line: Series
    field: str
    marks: list[tuple[float, float]]


def _draw_ratios(canvas: Canvas, panel: Axes, second: float | None) -> list[_Path]:
    """One panel."""
    there = [line for line in canvas.lines if line.second in (None, second)]
    base = {x: point for line in there if line.method == USER_LLM for x, point in line.places}
    paths = []
    for line in (own for own in there if own.method.startswith(TEXT_PROMPT)):
        canvas.among = [line]  # in the middle, where its numbers are written
        for field, _, look in _KINDS:
            ratios = reductions(line, base, field)
            rim = {"path_effects": _rim()} if "zorder" in look else {}
            if canvas.draw(panel, line, ratios, **{"linestyle": "-", **look, **rim}):
                places = zip(line.places, ratios, strict=True)
                marks = [(x, ratio) for (x, _), ratio in places if ratio is not None]
                paths.append(_Path(line, field, marks))
    if second is not None:
        name = f"{canvas.about.other}={second:g}"
        panel.set_title(name, loc="left", fontsize=10, color=INK)
    return paths


def _rim() -> list[Any]:
    """A white rim, by which a thin line shows on the thick one of its own colour."""
    from matplotlib import patheffects

    return [patheffects.withStroke(linewidth=2.6, foreground="white")]


def _write_ratios(figure: Figure, panel: Axes, paths: Sequence[_Path]) -> None:
    """Writes the numbers of the thick lines, unless they are too many; of single marks, of all."""
    single = max((len(own.marks) for own in paths), default=0) == 1
    marks = [(x, y, own) for own in paths for x, y in own.marks]
    kinds = {field: kind.rpartition(", ")[2] if single else "" for field, kind, _ in _KINDS}
    wanted = {own for own, *_ in (_KINDS if single else _KINDS[:1])}
    if sum(own.field in wanted for *_, own in marks) > _MANY:
        return
    ys = [y for _, y, _ in marks]
    told = [f"{y:,.0f}" if y >= 100 else f"{y:.3g}" for y in ys]
    labels = [
        f"{text} {kinds[own.field]}".strip() if own.field in wanted else ""
        for text, (*_, own) in zip(told, marks, strict=True)
    ]
    study = [(x, STUDY) for x in panel.get_xlim()]
    place_labels(
        figure, panel, [x for x, *_ in marks], ys, [(y, y) for y in ys], labels,
        [own.line.colour for *_, own in marks], [study, *(own.marks for own in paths)],
    )  # fmt: skip


def reductions(line: Series, base: Mapping[float, Point], field: str) -> list[float | None]:
    """How often the arithmetic of USER-LLM goes into that of a line, at every place.

    Args:
        line: A text prompt.
        base: USER-LLM by value of the axis.
        field: Of `Cost`.
    """
    found: list[float | None] = []
    for (x, _), flops in zip(line.places, line.costs(field), strict=True):
        own = getattr(base[x].cost, field) if x in base else None
        found.append(flops / own if flops and own else None)
    return found
