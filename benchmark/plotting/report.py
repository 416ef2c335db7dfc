"""The figure of a report: a metric of everybody, with intervals and seeds. Free of torch."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.display.visible import NAME, bounded
from benchmark.plotting.style import INK, MUTED, PALETTE, clear_frame, headed
from benchmark.records.differences import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 8.6
_LABEL = 38
"""Characters of a label's line."""


@dataclass(frozen=True)
class Dot:
    """One line of the figure.

    Attributes:
        label: Who.
        estimate: Mean over seeds with its interval over users.
        seeds: What each seed reaches.
        studied: Whether it is highlighted.
    """

    label: str
    estimate: Estimate
    seeds: Sequence[float]
    studied: bool


def draw_results(dots: Sequence[Dot], metric: str, title: str, below: str) -> Figure:
    """A dot a contestant, best first, with its 95% interval, and a faint one for each seed.

    Args:
        dots: The lines.
        metric: What they show.
        title: In bold.
        below: A line below it, of any length.
    """
    from matplotlib.figure import Figure

    order = sorted(dots, key=lambda dot: -dot.estimate.value)
    labels = [textwrap.fill(bounded(dot.label, NAME), _LABEL) for dot in order]
    height = sum(0.16 + 0.17 * (1 + label.count("\n")) for label in labels)
    figure = Figure(figsize=(_WIDTH, 1.3 + height), layout="constrained")
    panel = figure.subplots()
    several = any(len(dot.seeds) > 1 for dot in order)
    for place, dot in enumerate(order):
        colour = PALETTE[0] if dot.studied else MUTED
        own = dot.estimate
        if len(dot.seeds) > 1:
            panel.plot(
                dot.seeds, [place + 0.2] * len(dot.seeds), "|", color=colour, alpha=0.55,
                markersize=7, markeredgewidth=1.2, zorder=2,
            )  # fmt: skip
        panel.errorbar(
            [own.value], [place],
            xerr=[[max(0.0, own.value - own.low)], [max(0.0, own.high - own.value)]],
            fmt="D" if dot.studied else "o", color=colour, markersize=6.5 if dot.studied else 6.0,
            markeredgecolor="white", markeredgewidth=0.7, elinewidth=1.6, capsize=3, zorder=3,
        )  # fmt: skip
        panel.annotate(
            f"{own.value:.3f}", (max(own.high, *dot.seeds, own.value), place), (6, 0),
            textcoords="offset points", va="center", ha="left", fontsize=8, color=INK,
        )  # fmt: skip
    panel.set_yticks(range(len(order)), labels)
    for tick, dot in zip(panel.get_yticklabels(), order, strict=True):
        tick.set_fontweight("bold" if dot.studied else "normal")
        tick.set_color(PALETTE[0] if dot.studied else INK)
    panel.tick_params(axis="y", length=0, labelsize=9)
    panel.tick_params(axis="x", labelsize=8.5)
    panel.set_ylim(len(order) - 0.4, -0.6)
    reach = max(max(dot.estimate.high, *dot.seeds, dot.estimate.value) for dot in order) or 1.0
    panel.set_xlim(0, 1.12 * reach)
    seeds = "; strokes: single seeds" if several else ""
    panel.set_xlabel(f"{metric}, mean over users (whiskers: 95% interval{seeds})", fontsize=9)
    clear_frame(panel, "x")
    headed(figure, f"{title}\n{below}")
    return figure
