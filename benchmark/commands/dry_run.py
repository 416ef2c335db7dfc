"""`--dry-run`: the cells of a run with what each would take, and what of it is done."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmark.commands.sweep_table import short
from benchmark.commands.table import open_console
from benchmark.config import RunConfig
from benchmark.display.durations import duration
from benchmark.display.progress import open_progress, quiet_libraries
from benchmark.forecast.forecast import AGAIN, DONE, NONE, WRONG, Ahead, Forecast, forecast
from benchmark.forecast.rehearsing import CACHED, NEW, SHARED, StageAhead
from benchmark.scaleout.scale import Scale
from benchmark.tables import Tables
from benchmark.variants import Variant

_FOUND = {CACHED: "in the cache", SHARED: "as before"}


def dry_run_command(
    config: RunConfig,
    tables: Tables,
    scale: Scale,
    variants: Sequence[Variant] | None = None,
) -> int:
    """Prints what a run would take; nothing is trained, and no result is written.

    Args:
        config: What would run.
        tables: What can be named.
        scale: Who would run the cells.
        variants: As for `benchmark.runs.runner.run`.

    Returns:
        0.

    Raises:
        UserError: What a run would raise before it runs.
    """
    progress = open_progress()
    try:
        with quiet_libraries():
            found = forecast(config, tables, progress, variants)
    finally:
        progress.close()
    if config.as_json:
        shown = {
            "cells": [cell.to_json() for cell in found.cells],
            "totals": found.totals,
            "calibrated_on": found.calibrated_on,
        }
        print(json.dumps(shown, indent=2))
    else:
        _print(found, config, scale.workers or 1)
    if scale.scheduler is not None:
        print(
            f"note: --scheduler {scale.scheduler} is not asked in a dry run: whether it is there, "
            "and how many workers it has, is not looked at",
            file=sys.stderr,
        )
    return 0


def _print(found: Forecast, config: RunConfig, workers: int) -> None:
    axes = list(dict.fromkeys(axis for cell in found.cells for axis in cell.row.axes))
    several = len(config.task) > 1
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column("method", overflow="fold")
    for name in axes:
        table.add_column(name, justify="right")
    table.add_column("seed", justify="right")
    if several:
        table.add_column("task")
    table.add_column("state", overflow="fold")
    table.add_column("stages", overflow="fold")
    table.add_column("train FLOPs", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    for cell in found.cells:
        row = cell.row
        places = [_place(row.axes.get(name, "")) for name in axes]
        table.add_row(
            row.method,
            *places,
            str(row.seed),
            *([row.task] if several else []),
            cell.state,
            ", ".join(map(_stage, cell.stages)),
            *_amounts(cell),
        )
    console = open_console()
    print(f"{', '.join(config.task)} on {config.dataset}, preset {config.preset}: a dry run")
    console.print(table)
    _print_notes(found.cells)
    total = found.totals
    for name, told in (("all", "all cells"), ("left", "left to do")):
        part = total[name]
        print(
            f"{told}: {part['cells']}, {short(part['flops']) or 0} FLOPs of training, "
            f"{duration(part['seconds'])}"
        )
    if workers > 1:
        print(f"on {workers} workers at best: {duration(total['left']['seconds'] / workers)}")
    alone = sum(not cell.judged for cell in found.cells)
    if alone:
        print(
            f"of {alone} cells the time of training alone: no record tells what their building, "
            "looks and judging take"
        )
    if total["unknown"]:
        print(f"not in these sums: {total['unknown']} of unknown length")
    print(f"calibrated on {found.calibrated_on}")
    print("time is that of a whole cell, one after the other; nothing was trained or written")


def _print_notes(cells: Sequence[Ahead]) -> None:
    """What is to be said of rows; what holds for several seeds is said once."""
    for line in dict.fromkeys(f"{_name(cell)}: {cell.note}" for cell in cells if cell.note):
        print(line)


def _name(cell: Ahead) -> str:
    axes = " ".join(f"{axis}={_place(value)}" for axis, value in cell.row.axes.items())
    return f"{cell.row.method} {axes}".strip()


def _place(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _stage(stage: StageAhead) -> str:
    if stage.state != NEW:
        return f"{stage.name} ({_FOUND[stage.state]})"
    if 0 < stage.begun < stage.steps:
        return f"{stage.name} (at step {stage.begun:,} of {stage.steps:,})"
    return stage.name


def _amounts(cell: Ahead) -> list[str]:
    """FLOPs and time that are left; of a finished cell, what it took."""
    if cell.state in (NONE, WRONG, AGAIN):
        return ["", ""]
    if cell.seconds is None or cell.left_seconds is None:
        return ["unknown", "unknown"]
    if cell.state == DONE:
        return [short(cell.flops) or "0", f"took {duration(cell.seconds)}"]
    return [short(cell.left_flops) or "0", duration(cell.left_seconds)]
