"""Broken lines: reported with file and line number, counted, borne up to a share, then an error."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from benchmark.errors import UserError

BROKEN_LINES = "broken lines"

_SHOWN = 3
"""Broken lines that an error or a warning names."""
_LONGEST = 60
"""Characters of a value that an error shows."""
_LOOK_EVERY = 1000
"""Broken lines between two looks at whether it is time to give up."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Check:
    """What a value must be, beyond its type.

    Attributes:
        column: Whose values.
        holds: True where a value is as it must be, as a polars expression of the column; null
            does not hold.
        says: What a value is that is not, e.g. `is no half star from 0.5 to 5`.
    """

    column: str
    holds: Callable[[pl.Expr], pl.Expr]
    says: str


class LineError(Exception):
    """What is wrong with one line."""


class BrokenLines:
    """Keeps count of what one file's lines had wrong.

    Args:
        name: The file, as errors call it.
        path: The file, to count its lines.
        share: Share of its lines that may be broken.
        checks: What values must be beyond their types.

    Attributes:
        counts: What was met, by reason.
    """

    def __init__(self, name: str, path: Path, share: float, checks: Sequence[Check]) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self._path = path
        self._share = share
        self._checks = checks
        self._shown: list[str] = []

    def add(self, line: int, reason: str) -> None:
        """A line is broken.

        Args:
            line: Its number, from 1.
            reason: What is wrong with it.

        Raises:
            UserError: There are more than may be, whatever the rest of the file holds.
        """
        self.counts[BROKEN_LINES] += 1
        if len(self._shown) < _SHOWN:
            self._shown.append(f"line {line:,}: {reason}")
        count = self.counts[BROKEN_LINES]
        if count % _LOOK_EVERY == 0 and count > self._share * self._most_lines:
            raise self._too_many(f"{count:,} or more of {self._most_lines:,} lines are broken")

    def sound(self, frame: pl.DataFrame, lines: Sequence[int] | np.ndarray) -> pl.DataFrame:
        """The rows that fail no check; the others are broken lines.

        Args:
            frame: Rows.
            lines: `[rows]` the line that each stands in.
        """
        failed = [(check, frame.select(~_holds(check)).to_series()) for check in self._checks]
        failed = [(check, rows) for check, rows in failed if rows.any()]
        if not failed:
            return frame
        wrong = np.logical_or.reduce([rows.to_numpy() for _, rows in failed])
        for row in np.flatnonzero(wrong).tolist():
            check = next(check for check, rows in failed if rows[row])
            value = shown(check.column, frame[check.column][row])
            self.add(int(lines[row]), f"{value} {check.says}")
        return frame.filter(~wrong)

    def all_sound(self, frame: pl.DataFrame) -> bool:
        """Whether no row fails a check."""
        return all(frame.select(_holds(check).all()).item() for check in self._checks)

    def finish(self, rows: int) -> dict[str, int]:
        """What was met, by reason; a warning names the first broken lines.

        Args:
            rows: Rows that were read.

        Raises:
            UserError: There is no row, or more lines are broken than may be.
        """
        broken = self.counts[BROKEN_LINES]
        if broken > self._share * (rows + broken) or (broken and not rows):
            raise self._too_many(f"{broken:,} of {rows + broken:,} lines are broken")
        if not rows:
            raise UserError(f"{self.name} is empty: it holds no line of data")
        if broken:
            _log.warning("%s: %d broken lines were skipped; %s", self.name, broken, self._first)
        return {reason: count for reason, count in self.counts.items() if count}

    @property
    def _first(self) -> str:
        return "; ".join(self._shown)

    def _too_many(self, count: str) -> UserError:
        return UserError(
            f"{self.name}: {count}, more than a share of {self._share:g} (setting `broken`);"
            f" {self._first}"
        )

    @cached_property
    def _most_lines(self) -> int:
        """How many lines the file can have, blank ones counted."""
        breaks = 0
        with self._path.open("rb") as file:
            while chunk := file.read(1 << 24):
                breaks += chunk.count(b"\n")
        return breaks + 1


def _holds(check: Check) -> pl.Expr:
    return check.holds(pl.col(check.column)).fill_null(False)


def shown(column: str, value: object) -> str:
    """A column and its value, for an error."""
    return f"{column!r}" if value is None else f"{column!r} {quoted(value)}"


def quoted(value: object) -> str:
    """A value for an error, on one line and not too long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
