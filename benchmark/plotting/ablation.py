"""The figure of an ablation: one axis as dots, two as a map. Made from records alone."""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.display.counting import counted
from benchmark.display.visible import file_name
from benchmark.plotting.style import INK, MUTED, PALETTE, clear_frame, headed, save
from benchmark.records.differences import NLL, Estimate, Outcome
from benchmark.records.provenance import differences_in_code

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure

    from benchmark.records.results import RunRecord

_BETTER, _WORSE = PALETTE[0], PALETTE[3]
_EMPTY = "#f1f1f1"
_LEAST_WIDTH = 8.6
"""Inches; the title needs them."""
_REASON = 40
"""Most characters of why a value has no numbers; the table has the whole line."""
_READABLE = 48
"""Most characters of options in a file's name."""
_SAID = ("seeds", "seen")
"""Options that the line below the title has in its own words."""


def draw_ablation(
    outcomes: Sequence[Outcome],
    axes: Mapping[str, Sequence[str]],
    metric: str,
    folder: Path,
    options: Mapping[str, str] | None = None,
) -> list[Path]:
    """Draws one figure as PNG and SVG; another file for other options.

    Args:
        outcomes: What came out of one task, the reference first.
        axes: Axis → its values in order, of one or two axes.
        metric: What is compared.
        folder: Where the files go.
        options: What was asked for beside the axes, where it is not the default.
    """
    options = options or {}
    record = next(row.record for own in outcomes for row in own.finished if row.record)
    parts = ["ablation", *axes, record.dataset.name, record.task.name, record.preset]
    name = file_name("-".join([*parts, record.protocol.part]))
    figure = (draw_map if len(axes) > 1 else draw_dots)(outcomes, axes, metric, options)
    return save(figure, folder / f"{name}{_suffix(options)}")


def _suffix(options: Mapping[str, str]) -> str:
    """Tells files of other options apart: the options themselves where they are short, or a hash.

    What a file's name cannot hold as it is makes a hash, so that no two options share a name.
    """
    if not options:
        return ""
    told = "-".join(f"{name}={value}" for name, value in sorted(options.items()))
    if len(told) <= _READABLE and re.fullmatch(r"[\w.,=-]+", told, re.ASCII):
        return f"-{told}"
    content = json.dumps(sorted(options.items()))
    return f"-{hashlib.sha256(content.encode()).hexdigest()[:10]}"


def draw_dots(
    outcomes: Sequence[Outcome],
    axes: Mapping[str, Sequence[str]],
    metric: str,
    options: Mapping[str, str] | None = None,
) -> Figure:
    """A line a value: the metric on the left, its paired differences to the default beside it.

    A vertical line marks the default in every panel. A value without numbers has a gap that says
    so.
    """
    from matplotlib.figure import Figure

    own, *_ = axes
    order = {own_value: place for place, own_value in enumerate(axes[own])}
    shown = sorted(outcomes, key=lambda outcome: order.get(outcome.axes[own], -1))
    panels = [(metric, False)]
    for name in (metric, NLL):
        if any(name in outcome.differences for outcome in outcomes):
            panels.append((name, True))
    width = max(_LEAST_WIDTH, 2.4 + 3.2 * len(panels))
    figure = Figure(figsize=(width, 1.8 + 0.46 * len(shown)), layout="constrained")
    for number, (name, against) in enumerate(panels):
        panel = figure.add_subplot(1, len(panels), number + 1)
        _draw_estimates(panel, shown, name, against)
        _draw_gaps(panel, shown, labelled=number == 0)
        labels = [f"{o.axes[own]} (default)" if o.reference else o.axes[own] for o in shown]
        panel.set_yticks(range(len(shown)), labels if number == 0 else [""] * len(shown))
    _title(figure, outcomes, axes, metric, options or {})
    return figure


def _draw_estimates(panel: Panel, shown: Sequence[Outcome], metric: str, against: bool) -> None:
    """One panel; `against` the default, whose own difference is zero."""
    from matplotlib import patheffects

    rim = [patheffects.withStroke(linewidth=2.5, foreground="white")]
    for place, outcome in enumerate(shown):
        known = outcome.differences if against else outcome.metrics
        estimate = known.get(metric)
        if against and outcome.reference and metric in outcome.metrics:
            estimate = Estimate(0.0, 0.0, 0.0)
        if estimate is None:
            continue
        if outcome.reference:
            panel.axvline(
                estimate.value, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1
            )
        colour = _colour(outcome, metric) if against else INK
        panel.errorbar(
            [estimate.value], [place],
            xerr=[
                [max(0.0, estimate.value - estimate.low)],
                [max(0.0, estimate.high - estimate.value)],
            ],
            fmt="D" if outcome.reference else "o", color=colour, markersize=6.5,
            markeredgecolor="white", markeredgewidth=0.7, elinewidth=1.6, capsize=3, zorder=3,
        )  # fmt: skip
        if not (against and outcome.reference):
            text = f"{estimate.value:+.3f}" if against else f"{estimate.value:.3f}"
            panel.annotate(
                text, (estimate.value, place), (0, 6), textcoords="offset points",
                ha="center", va="bottom", fontsize=7.5, color=colour, zorder=4, path_effects=rim,
            )  # fmt: skip
    panel.set_ylim(len(shown) - 0.4, -0.75)
    panel.margins(x=0.12)
    clear_frame(panel, "x")
    panel.tick_params(axis="y", length=0)
    panel.tick_params(axis="x", labelsize=8)
    panel.locator_params(axis="x", nbins=5)
    unit = ", nats (lower is better)" if metric == NLL else ""
    panel.set_xlabel(
        f"{metric}: difference to the default{unit}" if against else metric, fontsize=9
    )


def _draw_gaps(panel: Panel, shown: Sequence[Outcome], labelled: bool) -> None:
    """A grey band where a value has no numbers, with the reason in the first panel."""
    for place, outcome in enumerate(shown):
        if not outcome.failure:
            continue
        panel.axhspan(place - 0.4, place + 0.4, color=_EMPTY, zorder=0, linewidth=0)
        if labelled:
            first = outcome.rows[0]
            reason = textwrap.shorten(first.na or first.error, _REASON, placeholder="...")
            panel.text(
                0.5, place, f"{outcome.failure}: {reason}", transform=panel.get_yaxis_transform(),
                ha="center", va="center", fontsize=8, style="italic", color=MUTED, zorder=4,
                bbox={"boxstyle": "round,pad=0.25", "facecolor": _EMPTY, "edgecolor": "none"},
            )  # fmt: skip


def draw_map(
    outcomes: Sequence[Outcome],
    axes: Mapping[str, Sequence[str]],
    metric: str,
    options: Mapping[str, str] | None = None,
) -> Figure:
    """A field a combination: the metric, its difference to the framed default, and the interval."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize, to_hex
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    down, across = axes
    rows, columns = list(axes[down]), list(axes[across])
    width = max(_LEAST_WIDTH, 2.6 + 1.5 * len(columns))
    figure = Figure(figsize=(width, 1.9 + 0.8 * len(rows)), layout="constrained")
    panel = figure.subplots()
    colours = LinearSegmentedColormap.from_list("difference", [_WORSE, "#ffffff", _BETTER])
    known = [o.differences[metric].value for o in outcomes if metric in o.differences]
    reach = max([abs(value) for value in known] + [1e-6])
    # Full colours would swallow the numbers.
    scale = Normalize(-1.6 * reach, 1.6 * reach)
    for outcome in outcomes:
        x, y = columns.index(outcome.axes[across]), rows.index(outcome.axes[down])
        difference = outcome.differences.get(metric)
        empty = _EMPTY if outcome.failure else "#ffffff"
        colour = empty if difference is None else to_hex(colours(scale(difference.value)))
        panel.add_patch(
            Rectangle(
                (x - 0.48, y - 0.47), 0.96, 0.94, facecolor=colour,
                edgecolor=INK if outcome.reference else "#d0d0d0",
                linewidth=2.0 if outcome.reference else 0.6, zorder=3 if outcome.reference else 2,
            )
        )  # fmt: skip
        first, below = _field(outcome, metric)
        sure = "bold" if difference and _clear(difference) else "normal"
        text: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, "zorder": 4}
        panel.text(x, y - 0.12, first, fontsize=10, fontweight=sure, **text)
        panel.text(x, y + 0.22, below, fontsize=7, **text)
    panel.set_xticks(range(len(columns)), columns)
    panel.set_yticks(range(len(rows)), rows)
    panel.set_xlim(-0.5, len(columns) - 0.5)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0, labelsize=9)
    panel.set_xlabel(across)
    panel.set_ylabel(down)
    _title(figure, outcomes, axes, metric, options or {})
    return figure


def _field(outcome: Outcome, metric: str) -> tuple[str, str]:
    """Both lines of a field of the map."""
    if metric not in outcome.metrics:
        return outcome.failure, ""
    value = f"{outcome.metrics[metric].value:.3f}"
    if outcome.reference:
        return value, "default"
    difference = outcome.differences.get(metric)
    if difference is None:
        return value, ""
    return (
        f"{value} ({difference.value:+.3f})",
        f"{difference.low:+.3f} to {difference.high:+.3f}",
    )


def _clear(difference: Estimate) -> bool:
    """Whether the interval leaves zero out."""
    return difference.low > 0 or difference.high < 0


def _colour(outcome: Outcome, metric: str) -> str:
    """Blue where clearly better than the default, red where clearly worse, else grey."""
    difference = outcome.differences.get(metric)
    if difference is None or not _clear(difference):
        return MUTED
    return _BETTER if (difference.value > 0) == (metric != NLL) else _WORSE


def _title(
    figure: Figure,
    outcomes: Sequence[Outcome],
    axes: Mapping[str, Sequence[str]],
    metric: str,
    options: Mapping[str, str],
) -> None:
    records = [row.record for own in outcomes for row in own.finished if row.record]
    record = records[0]
    headed(
        figure,
        f"{record.method.name}: {' by '.join(axes)}, {metric} of {record.task.name} on "
        f"{record.dataset.name}\n{_subtitle(outcomes, record, axes, options)}\n"
        f"{differences_in_code(records)}",
    )


def _subtitle(
    outcomes: Sequence[Outcome],
    record: RunRecord,
    axes: Mapping[str, Sequence[str]],
    options: Mapping[str, str],
) -> str:
    seeds = sorted({row.seed for own in outcomes for row in own.finished})
    seen = "taken out" if record.protocol.seen == "exclude" else "left in"
    shown = {name: value for name, value in options.items() if name not in (*axes, *_SAID)}
    given = "".join(f", {name}={value}" for name, value in shown.items())
    return (
        f"{record.protocol.part} targets of {counted(record.examples, 'user')}, seen items {seen}, "
        f"preset {record.preset}, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        f"{given}; 95% intervals over users, differences paired by user"
    )
