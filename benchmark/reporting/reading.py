"""Reads what there is for a report, and says what had to be left out. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UserError
from benchmark.records.results import Row, RunRecord, find_records, read_record, row_of


@dataclass(frozen=True)
class LeftOut:
    """Something that the report does without.

    Attributes:
        what: A record, a metric or a contestant.
        why: The reason, one line.
    """

    what: str
    why: str


def read_rows(folders: Sequence[Path]) -> tuple[list[Row], list[LeftOut]]:
    """Rows of all records that can be read, and what was left out of them.

    Args:
        folders: Looked through at any depth.

    Raises:
        UserError: A folder is not there, or holds no record that can be read.
    """
    rows, left_out = [], []
    for path in find_records(folders):
        try:
            record = read_record(path)
        except UserError as error:
            left_out.append(LeftOut(str(path), _without(str(error), path)))
            continue
        record, odd = _finite(record)
        left_out += [LeftOut(f"{metric} of {path}", f"it is {value}") for metric, value in odd]
        rows.append(row_of(record, path))
    if not rows:
        where = ", ".join(map(str, folders))
        advice = "run userllm-bench run first"
        if left_out:
            advice = f"the first of {len(left_out)}: {left_out[0].what} {left_out[0].why}"
        raise UserError(f"no record that can be read under {where}: {advice}")
    return rows, left_out


def _without(text: str, path: Path) -> str:
    """An error about a file without the file's name, which stands beside it."""
    return text.replace(f"{path} ", "", 1).strip()


def _finite(record: RunRecord) -> tuple[RunRecord, list[tuple[str, float]]]:
    """The record without metrics that are no numbers, and those."""
    odd = {
        metric: value
        for metric, value in record.metrics.items()
        if not all(map(math.isfinite, (value, *record.intervals.get(metric, ()))))
    }
    if not odd:
        return record, []
    kept: dict[str, object] = {
        "metrics": {name: own for name, own in record.metrics.items() if name not in odd},
        "intervals": {name: own for name, own in record.intervals.items() if name not in odd},
    }
    return record.model_copy(update=kept), list(odd.items())


def records_of(rows: Iterable[Row]) -> list[RunRecord]:
    """The records of finished rows."""
    return [row.record for row in rows if row.record is not None]
