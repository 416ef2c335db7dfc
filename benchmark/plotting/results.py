"""Figures of finished rows, made from records alone. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.display.counting import counted
from benchmark.display.visible import file_name
from benchmark.plotting.style import (
    HATCHES,
    INK,
    PALETTE,
    clear_frame,
    headed,
    place_labels,
    save,
    spoken,
    style_of,
)
from benchmark.records.results import Row, asked
from benchmark.records.summary import comparable_rows, learning_curves, summarise
from benchmark.reporting.language_model import language_models

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEXT_ITEM_BARS = ("recall@1", "recall@5", "recall@10")
_SHORTEST_SECONDS = 1.0
"""Shorter trainings are drawn here: on a logarithmic axis they would push all others aside."""
_MANY_SHORT, _BAND = 4, 0.45
"""So many trainings or more that are too short stand side by side, over this share of a second."""
_MOST_LABELS = 12
"""More marks than this are named in a legend: their labels would cover one another."""
_UPRIGHT = 60
"""Characters of a label that the vertical axis is long enough for."""


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draws both figures of every group of comparable rows.

    Args:
        rows: Rows; those without a record are left out.
        folder: Where PNG and SVG go.

    Returns:
        The files.
    """
    files: list[Path] = []
    taken: dict[str, int] = {}
    for members in comparable_rows(rows):
        name = _file_name(members[0])
        taken[name] = taken.get(name, 0) + 1
        if taken[name] > 1:
            name = f"{name}-{taken[name]}"
        summary = summarise(members, changes=True)
        metrics = shown_metrics(summary)
        if metrics:
            files += save(draw_bars(summary, title_of(members)), folder / f"{name}-bars")
        # What training an imported model took is not known: it has no place on that axis.
        timed = [row for row in members if row.record and row.record.imported is None]
        if metrics and timed:
            curves = learning_curves(timed, changes=True)
            figure = draw_time(summarise(timed, changes=True), curves, title_of(members))
            files += save(figure, folder / f"{name}-time")
    return files


def shown_metrics(summary: pd.DataFrame) -> list[str]:
    """What figures show, the most telling one last: three recalls of items, all of other tasks."""
    there = [metric for metric in dict.fromkeys(summary["metric"]) if "/" not in metric]
    bars = [metric for metric in NEXT_ITEM_BARS if metric in there]
    if NEXT_ITEM_BARS[-1] in bars:
        return bars
    return there[: len(HATCHES)]


def draw_bars(summary: pd.DataFrame, title: str) -> Figure:
    """Grouped bars by method, best first, with whiskers over the 95% interval."""
    from matplotlib.figure import Figure

    metrics = shown_metrics(summary)
    order = (
        summary[summary["metric"] == metrics[-1]]
        .sort_values("value", ascending=False, kind="stable")["label"]
        .tolist()
    )
    figure = Figure(figsize=(8.0, 1.9 + 0.62 * len(order)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(metrics)
    reach = float(summary.loc[summary["metric"].isin(metrics), "high"].max()) or 1.0
    for number, metric in enumerate(metrics):
        lines = summary[summary["metric"] == metric].set_index("label").reindex(order)
        places = [y - 0.4 + height * (number + 0.5) for y in range(len(order))]
        axes.barh(
            places,
            lines["value"],
            height=height * 0.9,
            color=PALETTE[number],
            hatch=HATCHES[number],
            edgecolor="white",
            linewidth=0.6,
            label=metric,
            zorder=2,
        )
        below = (lines["value"] - lines["low"]).clip(lower=0)
        above = (lines["high"] - lines["value"]).clip(lower=0)
        axes.errorbar(
            lines["value"], places, xerr=[below, above], fmt="none", ecolor=INK,
            elinewidth=1.0, capsize=2.0, zorder=3,
        )  # fmt: skip
        for place, value, high in zip(places, lines["value"], lines["high"], strict=True):
            if value == value:  # a method may lack a metric
                axes.text(
                    max(value, high) + 0.012 * reach, place, f"{value:.3f}",
                    va="center", ha="left", fontsize=7.5, color=INK,
                )  # fmt: skip
    axes.set_yticks(range(len(order)), order)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(order) - 0.45, -0.55)
    axes.set_xlim(0, reach * 1.1)
    what = "share of users" if metrics[-1] in NEXT_ITEM_BARS else "mean over users"
    axes.set_xlabel(f"{what} (whiskers: 95% interval over users{_mean_of(summary)})")
    clear_frame(axes, "x")
    headed(figure, title)
    # Outside of the axes, where it covers neither bars nor the lines of the title.
    figure.legend(
        loc="outside lower right", ncols=len(metrics), frameon=False, columnspacing=1.2, fontsize=9
    )
    return figure


def draw_time(summary: pd.DataFrame, curves: pd.DataFrame, title: str) -> Figure:
    """Quality against seconds of training, with the way there on validation as faint lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.2), layout="constrained")
    axes = figure.subplots()
    metric = shown_metrics(summary)[-1]
    lines = summary[summary["metric"] == metric].reset_index(drop=True)
    short = lines["training_seconds"] < _SHORTEST_SECONDS
    labels = lines["label"].where(~short, lines["label"] + " (< 1 s)")
    lines["x"] = _places(lines["training_seconds"])
    # Other tasks watch other values while they train, and share stages that watch items.
    same = metric == NEXT_ITEM_BARS[-1]
    shown = curves[curves["value"].between(0, 1) & same]
    drawn = False
    for number, line in lines.iterrows():
        colour, marker = style_of(int(str(number)))
        own = shown[shown["label"] == line["label"]]
        alpha = 0.4 if own["seed"].nunique() == 1 else 0.25
        for _, path in own.groupby(["seed", "stage"], sort=False):
            drawn = True
            seconds = path["seconds"].clip(lower=_SHORTEST_SECONDS)
            axes.plot(
                seconds, path["value"], color=colour, alpha=alpha, linewidth=1.1,
                marker=marker if len(path) == 1 else None, markersize=3, zorder=1,
            )  # fmt: skip
        axes.errorbar(
            [line["x"]],
            [line["value"]],
            yerr=[[line["value"] - line["low"]], [line["high"] - line["value"]]],
            color=colour, marker=marker, markersize=8, markeredgecolor="white",
            markeredgewidth=0.8, elinewidth=1.2, capsize=3, zorder=3,
            linestyle="none", label=labels[int(str(number))],
        )  # fmt: skip
    _scale_time(axes, lines)
    axes.set_ylim(bottom=0)
    what = f"{metric} (whiskers: 95% interval over users{_mean_of(summary)})"
    # A longer line would run out of the axis and through the lines below the title.
    axes.set_ylabel(what if len(what) <= _UPRIGHT else what.replace(" (", "\n(", 1))
    beside = "; those under 1 s side by side" if short.sum() >= _MANY_SHORT else ""
    faint = "; faint lines: validation while training" if drawn else ""
    axes.set_xlabel(f"training seconds, every stage counted{beside}{faint}")
    clear_frame(axes, "both")
    if len(lines) > _MOST_LABELS:
        headed(figure, title)  # as wide as without the legend, which stands below its end
        rows = sum(label.count("\n") + 1 for label in labels)
        figure.set_size_inches(10.4, max(figure.get_figheight(), 0.19 * rows + 2.0))
        figure.legend(loc="outside right lower", frameon=False, fontsize=8.5, labelspacing=0.4)
        return figure
    headed(figure, title)
    whiskers = list(zip(lines["low"], lines["high"], strict=True))
    colours = [style_of(number)[0] for number in range(len(lines))]
    xs, ys = lines["x"].tolist(), lines["value"].tolist()
    place_labels(figure, axes, xs, ys, whiskers, labels.tolist(), colours)
    return figure


def _places(seconds: pd.Series[float]) -> pd.Series[float]:
    """Where trainings stand: as long as they took, short ones within the first second."""
    placed = seconds.clip(lower=_SHORTEST_SECONDS)
    short = seconds < _SHORTEST_SECONDS
    count = int(short.sum())
    if count >= _MANY_SHORT:  # side by side, or their whiskers would cover one another
        placed[short] = _SHORTEST_SECONDS * np.linspace(1 - _BAND, 1, count)
    return placed


def _scale_time(axes: Axes, lines: pd.DataFrame) -> None:
    """A logarithmic axis where the times differ much, with room for labels on the right."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    low, high = float(lines["x"].min()), float(lines["x"].max())
    if high > 8 * low:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.6, high * (high / low) ** 0.22 * 1.2)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, high * 1.3)


def _mean_of(summary: pd.DataFrame) -> str:
    most, least = int(summary["seeds"].max()), int(summary["seeds"].min())
    if most == 1:
        return ""
    return f", mean of {most} seeds" if most == least else f", mean of {least} to {most} seeds"


def title_of(rows: Sequence[Row]) -> str:
    """What rows of one group have in common: a title, and below it how they were made.

    The last lines name the language models behind them, and what these were pretrained on.
    """
    record = rows[0].record
    assert record is not None
    protocol = record.protocol
    seen = "taken out" if protocol.seen == "exclude" else "left in"
    seeds = sorted({row.seed for row in rows})
    numbers = ", ".join(map(str, seeds)) if len(seeds) <= 5 else f"{len(seeds)} different"
    task = spoken(record.task.name)
    task += "".join(f", {name}={value}" for name, value in asked(record).items())
    of_items = f", seen items {seen}" if record.task.name == "next_item" else ""
    models = language_models(row.record for row in rows if row.record)
    return "\n".join(
        [
            f"{task} on {record.dataset.name}: {protocol.part} targets{of_items}",
            f"preset {record.preset}, split {protocol.split}, {counted(record.examples, 'user')}, "
            f"seed{'s' if len(seeds) > 1 else ''} {numbers}",
            *(own.phrase for own in models),
        ]
    )


def _file_name(row: Row) -> str:
    record = row.record
    assert record is not None
    seen = "out" if record.protocol.seen == "exclude" else "in"
    name = f"{row.dataset}-{row.task}-{row.preset}-{record.protocol.part}"
    if row.task == "next_item":
        name += f"-seen-{seen}"
    if record.protocol.split != "last":
        name += f"-{record.protocol.split}"
    name += "".join(f"-{value}" for value in asked(record).values())
    return file_name(name)
