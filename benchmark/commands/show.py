"""`userllm-bench show`: what was asked and answered, example by example."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.commands.show_items import Items, items_of
from benchmark.display.counting import counted
from benchmark.display.visible import NAME, bounded, visible
from benchmark.errors import UserError, unknown
from benchmark.records.example_files import read_examples
from benchmark.records.results import (
    Row,
    comparison_group,
    find_records,
    read_record,
    row_of,
    variant,
)
from benchmark.tables import Tables, default_tables

if TYPE_CHECKING:
    import polars as pl

_PLAIN_WIDTH = 100
_LONGEST = 10_000
"""Characters of a value that are shown."""
_ANSWERS = (
    "output",
    "ranked",
    "predicted",
    "target_rank",
    "target_logprob",
    "stray_answers",
    "candidates",
    "first_logprob",
    "candidates_logprob",
    "ranked_popularity",
)
"""Columns that hold what a method answered; all others hold what everybody was asked."""
_NEW, _VERBATIM = "new", "verbatim"


@dataclass(frozen=True)
class Options:
    """What was typed.

    Attributes:
        run: Folder of a finished cell or of several, or a record.
        examples: How many examples.
        seed: Of which.
        only: A group of them: `new`, or a column that says yes or no; None = all.
    """

    run: Path
    examples: int
    seed: int
    only: str | None


@dataclass(frozen=True)
class _Cell:
    """A finished cell with its examples, `user` first."""

    name: str
    metrics: tuple[str, ...]
    frame: pl.DataFrame


def show_command(options: Options, tables: Tables | None = None) -> None:
    """Prints some examples; where a folder holds several cells, their answers one below the other.

    Args:
        options: What was typed.
        tables: What can be named; the project's own where None.

    Raises:
        UserError: There is no record, no such example, or cells that were not asked the same.
    """
    rows = [row_of(read_record(path), path) for path in find_records([options.run])]
    if not rows:
        raise UserError(f"no finished run under {str(options.run)!r}")
    asked = {comparison_group(row.record) for row in rows if row.record}
    if len(asked) > 1:
        kinds = sorted({f"{row.task} on {row.dataset}" for row in rows})
        raise UserError(
            f"{str(options.run)!r} holds runs that were not asked the same ({', '.join(kinds)}, "
            f"{len(asked)} kinds of targets or presets): name the folder of one"
        )
    cells = [_open(row, rows) for row in rows]
    users = _choose(cells, options)
    record = rows[0].record
    assert record is not None
    group = f" of group {options.only}" if options.only else ""
    print(
        f"{record.task.name} on {record.dataset.name}: {record.protocol.part} targets, "
        f"{counted(len(users), 'example')}{group}"
    )
    items = items_of(record, users, tables or default_tables())
    if items.missing:
        print(bounded(items.missing))
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else _PLAIN_WIDTH
    for user in users:
        print()
        print("\n".join(_lines(user, cells, items, max(40, width))))


def _open(row: Row, rows: Sequence[Row]) -> _Cell:
    record, path = row.record, row.path
    assert record is not None
    assert path is not None
    frame = read_examples(path)
    name = row.method
    changed = variant(record)
    if len({other.seed for other in rows}) > 1:
        name += f" seed {row.seed}"
    metrics = tuple(column for column in frame.columns if column in record.metrics)
    return _Cell(name + (f" ({changed})" if changed else ""), metrics, frame)


def _choose(cells: Sequence[_Cell], options: Options) -> list[str]:
    """External ids of some users that every cell has, in the order of the first cell."""
    import polars as pl

    frame = cells[0].frame
    for cell in cells[1:]:
        frame = frame.join(cell.frame.select("user"), on="user", how="semi", maintain_order="left")
    if options.only is not None:
        flags = {name: pl.col(name) for name, kind in frame.schema.items() if kind == pl.Boolean}
        if _VERBATIM in flags:
            flags[_NEW] = ~pl.col(_VERBATIM)
        if options.only not in flags:
            if not flags:
                raise UserError("these examples have no groups: leave --only out")
            raise unknown("value of --only", options.only, flags)
        frame = frame.filter(flags[options.only])
    if frame.is_empty():
        raise UserError(f"no example of {str(options.run)!r} is in group {options.only!r}")
    rows = frame.with_row_index("place").select("place", "user")
    chosen = rows.sample(min(options.examples, len(rows)), seed=options.seed, shuffle=True)
    users: list[str] = chosen.sort("place")["user"].to_list()
    return users


def _lines(user: str, cells: Sequence[_Cell], items: Items, width: int) -> list[str]:
    """What one user was asked, and what each cell answered."""
    import polars as pl

    rows = (cell.frame.row(by_predicate=pl.col("user") == user, named=True) for cell in cells)
    found = [items.in_words(row) for row in rows]
    metrics = {name for cell in cells for name in cell.metrics}
    asked = {
        name: value
        for name, value in found[0].items()
        if name not in metrics and name not in _ANSWERS and name != "user"
    }
    answers = [_answer(cell, row) for cell, row in zip(cells, found, strict=True)]
    pairs = [(name, _text(value)) for name, value in asked.items()]
    if len(cells) == 1:
        pairs += answers[0]
    else:
        for cell, answer in zip(cells, answers, strict=True):
            first, *rest = answer
            pairs += [(cell.name, first[1]), *(("", f"{name}: {text}") for name, text in rest)]
    indent = min(24, max(len(name) for name, _ in pairs)) + 2
    lines = [f"user {bounded(user, NAME)}"]
    for name, text in pairs:
        if not text:
            continue
        if len(name) + 2 > indent:
            lines.append(name)
            name = ""
        for paragraph in _paragraphs(text):
            lines += textwrap.wrap(
                paragraph,
                width,
                initial_indent=name.ljust(indent),
                subsequent_indent=" " * indent,
            )
            name = ""
    return lines


def _paragraphs(text: str) -> list[str]:
    """The lines of a text, of a very long one the beginning alone."""
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text):,} characters)"
    return visible(text, keep_lines=True).splitlines()


def _answer(cell: _Cell, row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and texts of what a cell answered; its scores stand last, in one line."""
    parts = [(name, _text(row[name], empty="(nothing)")) for name in _ANSWERS[:3] if name in row]
    parts += [(name, _text(row[name])) for name in _ANSWERS[3:] if row.get(name) is not None]
    scores = [f"{name} {row[name]:.3f}" for name in cell.metrics if row[name] is not None]
    return [*parts, ("scores", ", ".join(scores))]


def _text(value: object, empty: str = "") -> str:
    """A value for people."""
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or empty
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    return empty if value is None or value == "" else str(value)
