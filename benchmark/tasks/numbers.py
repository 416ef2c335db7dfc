"""What the numbers of a record follow from: its examples, read back. Free of torch.

Each task has a module that makes its numbers from what was answered, when a run judges answers and
when somebody recomputes a record, so that both are the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import polars as pl
from pydantic import ValidationError

from benchmark.display.counting import counted
from benchmark.errors import UserError
from benchmark.records.example_files import Stored
from benchmark.records.results import RunRecord
from benchmark.tasks.config import TaskSettings

_S = TypeVar("_S", bound=TaskSettings)


@dataclass(frozen=True)
class Recomputed:
    """What examples say, whatever the record claims.

    Attributes:
        values: `[n]` values a metric, NaN = not defined for the user.
        metrics: Means, as a record has them.
        intervals: Their intervals.
        problems: Where the examples contradict themselves, a line each.
        notes: What could not be recomputed, a line each.
    """

    values: Mapping[str, np.ndarray]
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Numbers:
    """How the numbers of a task are recomputed.

    Attributes:
        version: Of the task; records of another one were made by other rules.
        recompute: From stored examples and the record, of which settings and facts are read and no
            number. It raises `UserError` where the examples lack what is needed.
    """

    version: str
    recompute: Callable[[Stored, RunRecord], Recomputed]


def settings_of(record: RunRecord, kind: type[_S]) -> _S:
    """The settings that a record's task ran with.

    Raises:
        UserError: They are not what this version knows.
    """
    try:
        return kind.model_validate(record.task.settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"its setting {where} of {record.task.name} is not understood") from None


def groups_of(frame: pl.DataFrame, *others: str) -> dict[str, np.ndarray]:
    """The groups of users that a frame names: its yes-or-no columns, some others left out."""
    return {
        name: frame[name].to_numpy()
        for name, kind in frame.schema.items()
        if kind == pl.Boolean and name not in others
    }


def offenders(frame: pl.DataFrame, wrong: np.ndarray, what: str) -> tuple[str, ...]:
    """One line about users of whom something is wrong; none where there are none.

    Args:
        frame: Has the column `user`.
        wrong: `BoolArray[n]`.
        what: What is wrong.
    """
    count = int(wrong.sum())
    if not count:
        return ()
    first = frame["user"][int(wrong.argmax())]
    return (f"{what} ({counted(count, 'user')}, first {first!r})",)
