"""How figures look: colours that colour-blind people can tell apart, labels that do not overlap."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmark.display.visible import NAME, bounded, visible
from benchmark.errors import UserError
from benchmark.system.durable import alone_in, whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import BboxBase

INK = "#222222"
MUTED = "#555555"
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#B59F00")
"""Okabe and Ito's colours, the yellow darkened so that it shows on white."""
HATCHES = ("", "///", "...")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")
LINES = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 2, 1, 2)), (0, (9, 3)), (0, (3, 1, 1, 1, 1, 1)))
"""Line styles that can be told apart."""

_FORMULA = re.compile(r"(?<!\\)\$")
"""A dollar sign that would begin or end a formula."""
_CHARACTERS, _LINE, _TITLE_LINE = 14.5, 0.145, 0.18
"""Characters below a title that an inch holds, and how many inches such a line and one of the title
are high."""
_MOST_LINES, _TICK = 60, 50
"""Lines of a text, and characters of a label beside an axis: more leave no room to draw in."""

_OFFSETS = tuple(
    (dx * far, dy * far)
    for far in (1.0, 1.6, 2.4, 3.4, 4.6, 6.0)
    for dx, dy in ((9, 0), (8, 8), (8, -8), (0, 12), (0, -12), (-8, 8), (-8, -8), (-9, 0))
)
"""Where a label may stand, in points from its mark, the best first."""


def style_of(number: int) -> tuple[str, str]:
    """Colour and marker of the n-th method; no two of the first 24 have both in common."""
    return PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]


def spoken(task: str) -> str:
    """What titles call a task: `Next item`."""
    return task.replace("_", " ").capitalize()


def clear_frame(axes: Axes, grid: Literal["x", "y", "both"]) -> None:
    """No frame on top and right, and a light grid behind everything."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color="#e3e3e3", linewidth=0.7)


def headed(figure: Figure, text: str) -> None:
    """A bold title, and below it the other lines, wrapped; the figure grows by what they take."""
    title, *below = text.splitlines()
    width = int(figure.get_figwidth() * _CHARACTERS)
    lines = [own for line in below for own in textwrap.wrap(bounded(line), width)]
    # Lines of the title are higher than those below it, for which it keeps room.
    room = "\n" * math.ceil(len(lines) * _LINE / _TITLE_LINE)
    figure.set_figheight(figure.get_figheight() + _TITLE_LINE * len(room))
    figure.suptitle(f"{title}{room}", x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.text(
        0.01, 0.995 - 0.36 / figure.get_figheight(), "\n".join(lines),
        ha="left", va="top", fontsize=8.5, color=MUTED,
    )  # fmt: skip


def make_plain(figure: Figure) -> None:
    """Makes every text of a figure say what it says: data may hold formulas and what nobody sees.

    A formula that is none would be an error, and an endless name leaves no room for the figure.
    """
    from matplotlib.text import Text
    from matplotlib.ticker import FuncFormatter

    for text in figure.findobj(Text):
        text.set_text(_plain(text.get_text()))
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            ticks = axis.get_major_formatter()
            if isinstance(ticks, FuncFormatter):  # labels that were given are looked up by one
                ticks.func = _plainly(ticks.func)


def _plainly(label: Callable[[float, int | None], str]) -> Callable[[float, int | None], str]:
    return lambda value, place: _plain(label(value, place), _TICK)


def _plain(text: str, most: int = NAME) -> str:
    lines = visible(text, keep_lines=True).split("\n")
    cut = (line if len(line) <= most else f"{line[:most]}…" for line in lines[:_MOST_LINES])
    return _FORMULA.sub(r"\\$", "\n".join(cut))


def save(figure: Figure, path: Path) -> list[Path]:
    """Writes a figure as PNG and SVG, each in one step."""
    import matplotlib

    make_plain(figure)
    files = []
    for kind in ("png", "svg"):
        target = path.with_name(f"{path.name}.{kind}")
        # Without date and random ids, equal rows make equal files.
        equal = matplotlib.rc_context({"svg.hashsalt": path.name, "svg.fonttype": "path"})
        try:
            with alone_in(target.parent), equal, whole_file(target) as fresh:
                metadata = {"Date": None} if kind == "svg" else {"Software": "userllm-bench"}
                figure.savefig(fresh, format=kind, dpi=160, metadata=metadata)
        except OSError as error:
            raise UserError(f"cannot write {target}: {error.strerror or error}") from None
        files.append(target)
    return files


def place_labels(
    figure: Figure,
    axes: Axes,
    xs: Sequence[float],
    ys: Sequence[float],
    whiskers: Sequence[tuple[float, float]],
    labels: Sequence[str],
    colours: Sequence[str],
    paths: Sequence[Sequence[tuple[float, float]]] = (),
) -> None:
    """Writes each label beside its mark, where it covers no label, mark or whisker.

    Args:
        figure: The whole picture.
        axes: Holds the marks.
        xs: Where the marks are.
        ys: Where the marks are.
        whiskers: Lower and upper end of each mark's vertical whisker.
        labels: What to write; nothing where it is "".
        colours: Of the marks; a label takes a darker shade of it.
        paths: Lines, as their corners, that are to be covered as little as can be.
    """
    from matplotlib import patheffects
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    make_plain(figure)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # lays everything out, so that extents are known
    marks = axes.transData.transform(list(zip(xs, ys, strict=True))).tolist()
    half = 6 * figure.dpi / 72
    taken: list[BboxBase] = [Bbox([[x - half, y - half], [x + half, y + half]]) for x, y in marks]
    for x, ends in zip(xs, whiskers, strict=True):
        (left, low), (_, high) = axes.transData.transform([(x, end) for end in ends])
        taken.append(Bbox([[left - half / 2, low], [left + half / 2, high]]))
    for path in paths:
        corners = axes.transData.transform(list(path))
        for (x0, y0), (x1, y1) in pairwise(corners):
            steps = max(1, round(max(abs(x1 - x0), abs(y1 - y0)) / half))
            for n in range(steps + 1):
                x, y = x0 + (x1 - x0) * n / steps, y0 + (y1 - y0) * n / steps
                taken.append(Bbox([[x - half / 4, y - half / 4], [x + half / 4, y + half / 4]]))
    inside = axes.get_window_extent()
    for x, y, mark, label, colour in zip(xs, ys, marks, labels, colours, strict=True):
        best: tuple[float, Annotation, BboxBase] | None = None
        if not label:
            continue
        for rank, (dx, dy) in enumerate(_OFFSETS):
            note = axes.annotate(
                _plain(label), (x, y), (dx, dy), textcoords="offset points", fontsize=8.5,
                color=_darker(colour),
                ha="left" if dx > 0 else "right" if dx < 0 else "center",
                va="center" if dy == 0 else "bottom" if dy > 0 else "top", zorder=5,
                arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkB": 5}
                if rank >= (8 if paths else 16) else None,
            )  # fmt: skip
            # The text alone: the extent of an annotation holds its arrow too.
            box = _text_box(note, canvas)
            cost = rank * 1e-3 + sum(_overlap(box, other) for other in taken)
            cost += box.width * box.height - _overlap(box, inside)
            if paths and _nearest(box, marks) != mark:
                cost += 0.3 * box.width * box.height  # who reads it would think it another's
            if best is None or cost < best[0]:
                if best is not None:
                    best[1].remove()
                best = (cost, note, box)
            else:
                note.remove()
            if cost < len(_OFFSETS) * 1e-3:
                break
        assert best is not None
        # A white rim keeps it readable where a faint line passes behind it.
        best[1].set_path_effects([patheffects.withStroke(linewidth=2.5, foreground="white")])
        taken.append(best[2])


def _nearest(box: BboxBase, marks: Sequence[Sequence[float]]) -> Sequence[float]:
    """The mark that is nearest to the middle of a box."""
    across, up = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return min(marks, key=lambda mark: (mark[0] - across) ** 2 + (mark[1] - up) ** 2)


def _darker(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    red, green, blue = (0.62 * part for part in to_rgb(colour))
    return red, green, blue


def _text_box(note: Annotation, canvas: object) -> BboxBase:
    from matplotlib.text import Text

    renderer = canvas.get_renderer()  # type: ignore[attr-defined]
    note.update_positions(renderer)
    return Text.get_window_extent(note, renderer)


def _overlap(one: BboxBase, other: BboxBase) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(0.0, width) * max(0.0, height)
