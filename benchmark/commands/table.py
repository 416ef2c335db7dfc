"""Rows as a table on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmark.results import Row

_PLAIN_WIDTH = 132
_WIDTH_WITH_BUDGET = 110
"""On a narrower terminal the budgets stand below the table."""


def print_table(
    rows: Sequence[Row], metrics: Sequence[str], warning: str, figures: Sequence[Path]
) -> None:
    """Prints rows, then where records and figures are.

    Args:
        rows: What came out, in order.
        metrics: The columns.
        warning: Printed below the table where the preset has one.
        figures: Files of the figures.
    """
    console = open_console()
    wide = console.width >= _WIDTH_WITH_BUDGET
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column("method", overflow="fold")
    table.add_column("seed", justify="right")
    for metric in metrics:
        table.add_column(metric, justify="right", no_wrap=True)
    table.add_column("train s", justify="right", no_wrap=True)
    if wide:
        table.add_column("budget", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row, metrics), *([_budget(row)] if wide else []))
    print(title(rows))
    console.print(table)
    if not wide:
        for row in rows:
            if row.record:
                print(f"{row.method} seed {row.seed}: budget: {_budget(row)}")
    print_reasons(rows)
    if any(row.record for row in rows):
        print("below each value: its 95% bootstrap interval over users")
    print_end(console, rows, figures, warning)


def open_console() -> Console:
    """The terminal, or plain text of a fixed width where stdout is none."""
    terminal = sys.stdout.isatty()
    return Console(
        file=sys.stdout,
        width=None if terminal else _PLAIN_WIDTH,
        color_system="auto" if terminal else None,
        highlight=False,
        soft_wrap=False,
    )


def print_end(console: Console, rows: Sequence[Row], figures: Sequence[Path], warning: str) -> None:
    """Where records and figures are, and the preset's warning."""
    records = dict.fromkeys(row.path for row in rows if row.path)
    for heading, paths in (("records", records), ("plots", figures)):
        if paths:
            print(f"{heading}:", *(f"  {path}" for path in paths), sep="\n")
    if warning:
        console.print(warning, markup=False, style="bold")


def print_reasons(rows: Sequence[Row]) -> None:
    """Why rows have no numbers; what holds for every seed is said once."""
    lines = []
    for row in rows:
        name = " ".join(f"{axis}={value}" for axis, value in row.axes.items()) or row.method
        if row.na:
            lines.append(f"{name}: n/a: {row.na}")
        elif row.error:
            log = f" (traceback: {row.log})" if row.log else ""
            lines.append(f"{name} seed {row.seed}: error: {row.error}{log}")
    for line in dict.fromkeys(lines):
        print(line)


def _cells(row: Row, metrics: Sequence[str]) -> list[str]:
    if row.record is None:
        return [row.method, str(row.seed), *(["n/a" if row.na else "error"] * len(metrics)), ""]
    record = row.record
    cells = [row.method, str(row.seed)]
    for metric in metrics:
        if metric not in record.metrics:
            cells.append("")
            continue
        interval = record.intervals.get(metric)
        below = "" if interval is None else "\n" + "-".join(map(_short, interval))
        cells.append(f"{record.metrics[metric]:.3f}{below}")
    return [*cells, f"{record.fit.seconds:.1f}"]


def _short(share: float) -> str:
    return f"{share:.3f}".removeprefix("0")


def _budget(row: Row) -> str:
    return str(row.record.budget.get("text", "")) if row.record else ""


def title(rows: Sequence[Row]) -> str:
    """What rows of a table have in common."""
    record = next((row.record for row in rows if row.record), None)
    if record is None:
        return ""
    seen = "taken out" if record.protocol.seen == "exclude" else "left in"
    return (
        f"{', '.join(dict.fromkeys(row.task for row in rows))} on {record.dataset.name}: "
        f"{record.protocol.part} targets of {record.examples:,} users, seen items {seen}, "
        f"preset {record.preset}"
    )
