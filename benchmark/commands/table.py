"""Rows as a table on the terminal."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmark.display import consoles
from benchmark.display.counting import counted
from benchmark.display.visible import bounded
from benchmark.records.results import Row, RunRecord, variant_label
from benchmark.reporting.language_model import language_models, named

_PLAIN_WIDTH = 132
_WIDTH_WITH_BUDGET = 110
"""On a narrower terminal the budgets stand below the table."""
_CHANGED = 30
"""Characters of a line of what was changed of a method."""
_FEW = 30
"""Fewer users than this say next to nothing."""


def print_table(rows: Sequence[Row], metrics: Sequence[str]) -> None:
    """Prints rows of one task, and what has to be said of them.

    Args:
        rows: What came out, in order.
        metrics: The columns; others that a row has of groups of users stand below the table.
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
    print_groups(rows, metrics)
    print_notes(rows)


def print_groups(rows: Sequence[Row], metrics: Sequence[str]) -> None:
    """Prints the last metric over groups of users, a line a method and group, where there are."""
    for row in rows:
        found = row.record.metrics if row.record else {}
        groups = dict.fromkeys(name.partition("/")[2] for name in found if "/" in name)
        for group in groups:
            parts = []
            for metric in metrics:
                name = f"{metric}/{group}"
                if name in found and row.record is not None:
                    low, high = row.record.intervals[name]
                    parts.append(f"{metric} {found[name]:.3f} ({_short(low)}-{_short(high)})")
            if parts:
                print(f"{row.method} seed {row.seed}, {group} targets: {', '.join(parts)}")


def print_notes(rows: Sequence[Row]) -> None:
    """What holds for rows of a table and is no number: leaks, and where items' texts come from."""
    notes: dict[str, None] = {}
    for row in rows:
        if row.record is None:
            continue
        protocol = row.record.protocol
        if row.record.examples < _FEW:
            asked = counted(row.record.examples, "user")
            notes[f"{asked} can be asked: these numbers say next to nothing"] = None
        if protocol.leak:
            notes[f"split {protocol.split} leaks: {protocol.leak}"] = None
        if row.record.dataset.item_text != "titles":
            notes[f"items have no titles; their text: {row.record.dataset.item_text}"] = None
        if protocol.shared_with:
            others = ", ".join(protocol.shared_with)
            notes[f"stages that serve other tasks too end before the targets of {others}"] = None
        notes.update(dict.fromkeys(f"{row.method}: {note}" for note in row.record.fit.notes))
    for note in notes:
        print(bounded(note))


def open_console() -> Console:
    """The terminal, or plain text of a fixed width where stdout is none."""
    terminal = sys.stdout.isatty()
    return consoles.open_console(
        sys.stdout,
        width=None if terminal else _PLAIN_WIDTH,
        color_system="auto" if terminal else None,
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
        print(bounded(line))


def _cells(row: Row, metrics: Sequence[str]) -> list[str]:
    if row.record is None:
        return [row.method, str(row.seed), *(["n/a" if row.na else "error"] * len(metrics)), ""]
    record = row.record
    cells = [_name(row, record), str(row.seed)]
    for metric in metrics:
        if metric not in record.metrics:
            cells.append("")
            continue
        interval = record.intervals.get(metric)
        below = "" if interval is None else "\n" + "-".join(map(_short, interval))
        cells.append(f"{record.metrics[metric]:.3f}{below}")
    return [*cells, f"{record.fit.seconds:.1f}" if record.imported is None else "-"]


def _name(row: Row, record: RunRecord) -> str:
    """The method, and below it what somebody changed of its settings."""
    changed = variant_label(record) if record.method.changes else ""
    return "\n".join([row.method, *textwrap.wrap(changed, _CHANGED, break_long_words=False)])


def _short(share: float) -> str:
    return f"{share:.3f}".removeprefix("0")


def _budget(row: Row) -> str:
    return str(row.record.budget.get("text", "")) if row.record else ""


def title(rows: Sequence[Row]) -> str:
    """What rows of a table have in common."""
    tasks = ", ".join(dict.fromkeys(row.task for row in rows))
    record = next((row.record for row in rows if row.record), None)
    if record is None:
        return f"{tasks} on {rows[0].dataset}: preset {rows[0].preset}"
    seen = "taken out" if record.protocol.seen == "exclude" else "left in"
    of_items = f"seen items {seen}, " if record.task.name == "next_item" else ""
    return (
        f"{tasks} on {record.dataset.name}: "
        f"{record.protocol.part} targets of {counted(record.examples, 'user')}, {of_items}"
        f"preset {record.preset}{_models(rows)}"
    )


def _models(rows: Sequence[Row]) -> str:
    """The language models behind some rows, and what these were pretrained on."""
    found = language_models(row.record for row in rows if row.record)
    return f", with {named(found)}" if found else ""
