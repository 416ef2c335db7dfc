"""Draws what `benchmark.perf.scale` measured: seconds and memory by events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.display.counting import counted
from benchmark.perf.scale import AIM_BYTES
from benchmark.plotting.style import INK, MUTED, clear_frame, save, style_of


def draw(measured: Path) -> list[Path]:
    """Draws beside the JSON file, under its name.

    Args:
        measured: What `benchmark.perf.comparison.write` wrote.

    Returns:
        The figure's files.
    """
    from matplotlib.figure import Figure

    found: dict[str, Any] = json.loads(measured.read_text())
    rows: list[dict[str, Any]] = found["details"]["sizes"]
    events = [row["events"] for row in rows]
    figure = Figure(figsize=(9.0, 4.4), layout="constrained")
    figure.suptitle("What more events cost", x=0.01, ha="left", fontsize=12, fontweight="bold")
    left, right = figure.subplots(1, 2)
    left.set_title(_measured_on(found), loc="left", fontsize=8.5, color=MUTED)
    seconds = {
        "prepared": [row["prepare"]["seconds"] for row in rows],
        "split, training events written": [row["sample"]["split_seconds"] for row in rows],
        "one epoch sampled": [row["sample"]["epoch_seconds"] for row in rows],
    }
    for number, (label, values) in enumerate(seconds.items()):
        colour, marker = style_of(number)
        left.plot(events, values, marker=marker, color=colour, label=label)
    reckoned = [row for row in rows if row["sample"]["epoch_is_extrapolated"]]
    if reckoned:
        left.plot(
            [row["events"] for row in reckoned],
            [row["sample"]["epoch_seconds"] for row in reckoned],
            marker=marker, color=colour, markerfacecolor="white", linestyle="none",
            label="reckoned from a part of it",
        )  # fmt: skip
    slope = [seconds["prepared"][-1] * count / events[-1] for count in events]
    left.plot(
        events, slope, color=MUTED, linestyle=":", linewidth=1,
        label="in proportion to events",
    )  # fmt: skip
    left.set_yscale("log")
    left.set_ylabel("seconds")
    steps = {"prepare": "preparing", "sample": "splitting and sampling"}
    for number, (step, label) in enumerate(steps.items()):
        colour, marker = style_of(2 * number)
        for kind, line in (("resident", "-"), ("private", "--")):
            gib = [row[step][f"peak_{kind}_bytes"] / 2**30 for row in rows]
            right.plot(events, gib, line, marker=marker, color=colour, label=f"{label}, {kind}")
    right.axhline(AIM_BYTES / 2**30, color=INK, linewidth=0.8, linestyle=":")
    right.annotate(
        f"aim: at most {AIM_BYTES / 2**30:g} GiB resident while the largest is prepared",
        (events[0], AIM_BYTES / 2**30), (0, 3), textcoords="offset points", fontsize=8.5,
    )  # fmt: skip
    right.set_ylim(bottom=0)
    right.set_ylabel("most memory of the process, GiB")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel("events")
        clear_frame(axes, "both")
        axes.legend(frameon=False, fontsize=8.5)
    return save(figure, measured.with_suffix(""))


def _measured_on(found: Mapping[str, Any]) -> str:
    """Of what data and on which machine the numbers are."""
    host, threads = found["host"], found["details"]["threads"]
    memory = host.get("memory_bytes")
    machine = [
        str(host["cpu"]),
        counted(host["physical_cores"], "core"),
        *([f"{memory / 2**30:.0f} GiB"] if memory else []),
        counted(threads, "thread"),
    ]
    source = found["source"]
    code = f"; code {source['commit'][:7]}" if source else ""
    return f"made-up ratings; {', '.join(machine)}{code}"
