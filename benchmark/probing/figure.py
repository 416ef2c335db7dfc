"""The figure of a probe: what each probe costs, with its interval. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.display.counting import counted
from benchmark.plotting.style import INK, MUTED, PALETTE, clear_frame, headed, save, spoken
from benchmark.probing.report import FIGURE, METRIC, NLL, ProbeReport, ProbeRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABELS = {METRIC: f"{METRIC} lost", NLL: "nll gained (nats)"}


def draw_probe(report: ProbeReport, folder: Path) -> list[Path]:
    """Draws what probes cost as PNG and SVG; nothing where no probe has a number.

    Args:
        report: What came out.
        folder: Where the files go.
    """
    rows = [row for row in report.rows if row.metrics]
    names = [name for name in (METRIC, NLL) if any(name in row.metrics for row in rows)]
    return save(_figure(report, rows, names), folder / FIGURE) if names else []


def _figure(report: ProbeReport, rows: Sequence[ProbeRow], names: Sequence[str]) -> Figure:
    from matplotlib.figure import Figure

    width = 3.0 + 3.2 * len(names)
    figure = Figure(figsize=(width, 1.9 + 0.36 * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        _draw_losses(panel, rows, name)
    labels = [f"{row.probe}{' *' if row.trained else ''}" for row in rows]
    panels[0].set_yticks(range(len(rows)), labels)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    headed(
        figure,
        f"What {report.method} loses when it is probed\n"
        f"{spoken(report.task)} on {report.dataset}, preset {report.preset}, seed {report.seed}, "
        f"{counted(report.examples, f'{report.part} user')}",
    )
    trained = "; *: fitted anew" if any(row.trained for row in rows) else ""
    figure.supxlabel(
        f"whiskers: 95% bootstrap interval, paired by user{trained}", fontsize=9, color=MUTED
    )
    return figure


def _draw_losses(panel: Axes, rows: Sequence[ProbeRow], name: str) -> None:
    for place, row in enumerate(rows):
        loss = row.metrics.get(name)
        if loss is None:
            continue
        colour = PALETTE[0] if row.trained else PALETTE[3]
        # The mean of a skewed difference may lie outside of its percentile interval.
        below, above = max(0.0, loss.worse_by - loss.low), max(0.0, loss.high - loss.worse_by)
        panel.errorbar(
            [loss.worse_by], [place], xerr=[[below], [above]], fmt="s" if row.trained else "o",
            color=colour, ecolor=INK, elinewidth=1.0, capsize=2.5, markersize=6, zorder=3,
        )  # fmt: skip
    panel.axvline(0, color=INK, linewidth=0.8, zorder=1)
    panel.set_xlabel(_LABELS[name])
    panel.tick_params(axis="y", length=0)
    clear_frame(panel, "x")
