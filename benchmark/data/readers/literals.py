"""Lines that are written as Python writes a dictionary, as Amazon's metadata of 2014 are."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Callable, Mapping
from typing import TypeVar

from benchmark.data.files.archives import Opened
from benchmark.data.files.broken import BrokenLines

LONGEST_LINE = 1 << 20
"""Bytes; a hundred times the longest record, and what a parser can be asked to bear."""
_DAMAGE = (MemoryError, RecursionError, SyntaxError, TypeError, UnicodeError, ValueError)
"""What reading a literal raises, whatever the line holds."""

Row = TypeVar("Row")


def read_literal_lines(
    opened: Opened,
    row: Callable[[Mapping[str, object]], Row | None],
    *,
    broken: float,
    skip: Callable[[str], bool] = lambda line: False,
) -> tuple[list[Row], dict[str, int], int]:
    """Reads one dictionary a line; nothing in the file is ever run.

    Args:
        opened: The file.
        row: What is kept of a dictionary, None where it is of no use.
        broken: Share of the lines that may be broken.
        skip: Whether a line need not be read at all: reading one takes long.

    Returns:
        What `row` made of the lines, in file order; counts by reason (`broken lines`); how many
        lines were skipped.

    Raises:
        UserError: The file is empty, or too many lines are broken: the first ones are named.
    """
    damage = BrokenLines(opened.name, opened.path, broken, ())
    rows: list[Row] = []
    skipped = 0
    with opened.path.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            if not line.endswith(b"\n") and len(line) == LONGEST_LINE:
                damage.add(number, "is too long")
                _pass_over(lambda: file.readline(LONGEST_LINE))
                continue
            try:
                text = line.decode().strip()
                if not text:
                    continue
                if skip(text):
                    skipped += 1
                    continue
                record = parse(text)
                kept = row(record) if isinstance(record, dict) else None
            except _DAMAGE:
                kept = None
            if kept is None:
                damage.add(number, "is no record of an item")
            else:
                rows.append(kept)
    return rows, damage.finish(len(rows) + skipped), skipped


def parse(text: str) -> object:
    """The value that a Python literal or a JSON text stands for.

    Raises:
        ValueError: It is neither; or another of the errors that Python's parser has for that.
    """
    if text.startswith('{"'):
        try:
            return json.loads(text)
        except ValueError:
            pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of "\\d" in somebody's description
        return ast.literal_eval(text)


def _pass_over(read: Callable[[], bytes]) -> None:
    while (rest := read()) and not rest.endswith(b"\n"):
        pass
