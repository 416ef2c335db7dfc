"""Whether the numbers of records follow from their examples. Free of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl

from benchmark.errors import UserError
from benchmark.records.example_files import read_stored
from benchmark.records.results import EXAMPLES, RunRecord, find_records, read_record
from benchmark.registry import load
from benchmark.system.parquet_files import PARQUET_DAMAGE
from benchmark.tables import Tables
from benchmark.tasks.numbers import Numbers, Recomputed, offenders

TOLERANCE = 1e-9
"""Differences up to this are rounding: rows may stand in another order than when they were made."""
OK, DIFFERS, UNCHECKED, NO_EXAMPLES = "ok", "differs", "cannot be checked", "no examples"


@dataclass(frozen=True)
class Verdict:
    """What checking a record found.

    Attributes:
        path: The record.
        status: `OK`, `DIFFERS`, `UNCHECKED` or `NO_EXAMPLES`.
        problems: Numbers that differ, stored and recomputed, or why nothing could be checked.
        notes: What was not checked, or not from the answers themselves.
        numbers: Means and intervals that were recomputed.
        users: Examples.
    """

    path: Path
    status: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    numbers: int = 0
    users: int = 0

    def to_json(self) -> dict[str, Any]:
        """The verdict as `--json` prints it."""
        return {
            "record": str(self.path),
            "status": self.status,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "numbers": self.numbers,
            "users": self.users,
        }


def verify(paths: Sequence[Path], tables: Tables) -> Iterator[Verdict]:
    """Checks all records under some folders, one after the other, also behind a broken one.

    Raises:
        UserError: There is no such folder, or no record in any.
    """
    found = False
    for path in find_records(paths):
        found = True
        yield check(path, tables)
    if not found:
        raise UserError(f"no record under {', '.join(map(str, paths))}: name a folder of runs")


def check(path: Path, tables: Tables) -> Verdict:
    """Recomputes the numbers of one record."""
    try:
        record = read_record(path)
        if not path.with_name(EXAMPLES).is_file():
            return Verdict(path, NO_EXAMPLES, ("only the record was kept",))
        stored = read_stored(path)
        found = _numbers(record, tables).recompute(stored, record)
    except UserError as error:
        return Verdict(path, UNCHECKED, (str(error),))
    except (ValueError, TypeError, *PARQUET_DAMAGE) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return Verdict(
            path, UNCHECKED, (f"{path.with_name(EXAMPLES)} holds wrong values: {reason}",)
        )
    problems = [*found.problems, *_of_columns(stored.frame, found), *_of_record(record, found)]
    if record.examples != len(stored.frame):
        problems.insert(0, f"examples is {record.examples}, the file has {len(stored.frame)}")
    return Verdict(
        path,
        DIFFERS if problems else OK,
        tuple(problems),
        found.notes,
        len(found.metrics) + len(found.intervals),
        len(stored.frame),
    )


def _numbers(record: RunRecord, tables: Tables) -> Numbers:
    name = record.task.name
    target = tables.tasks[name].numbers if name in tables.tasks else ""
    if not target:
        raise UserError(f"nothing here knows how to recompute the task {name!r}")
    numbers = cast("Numbers", load(target))
    if numbers.version != record.task.version:
        raise UserError(
            f"it was made by version {record.task.version!r} of {name}; this is {numbers.version!r}"
        )
    return numbers


def _of_columns(frame: pl.DataFrame, found: Recomputed) -> list[str]:
    """Where a stored value of a user is not the recomputed one; null stands for none."""
    problems: list[str] = []
    for name, values in found.values.items():
        if name in frame.columns:
            stored = frame[name].cast(pl.Float64).to_numpy()
            same = np.isclose(stored, values, rtol=0, atol=TOLERANCE, equal_nan=True)
            problems += offenders(frame, ~same, f"stored {name} is not what the answers give")
    return problems


def _of_record(record: RunRecord, found: Recomputed) -> Iterator[str]:
    """Where a record's numbers are not the recomputed ones."""
    yield from _of_names(record.metrics, found.metrics, "", lambda own: (own,))
    yield from _of_names(record.intervals, found.intervals, "interval of ", tuple)


def _of_names(
    stored: Mapping[str, Any],
    own: Mapping[str, Any],
    kind: str,
    numbers: Callable[[Any], tuple[float, ...]],
) -> Iterator[str]:
    for name in dict.fromkeys([*stored, *own]):
        if name not in own:
            yield f"{kind}{name} is {_text(numbers(stored[name]))}, nothing gives it"
        elif name not in stored:
            yield f"{kind}{name} is missing, recomputed {_text(numbers(own[name]))}"
        elif not np.allclose(numbers(stored[name]), numbers(own[name]), rtol=0, atol=TOLERANCE):
            told, recomputed = numbers(stored[name]), numbers(own[name])
            yield f"{kind}{name} is {_text(told)}, recomputed {_text(recomputed)}"


def _text(numbers: tuple[float, ...]) -> str:
    return "-".join(f"{number:.10g}" for number in numbers)
