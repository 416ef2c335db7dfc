"""Whether a contestant can be tested: its examples are there and say what its records say."""

from __future__ import annotations

import math

import polars as pl

from benchmark.display.counting import counted
from benchmark.errors import UserError
from benchmark.evidence.contestants import USER, Contestant
from benchmark.records.results import EXAMPLES, Row, RunRecord
from benchmark.records.verification import TOLERANCE


def why_unusable(contestant: Contestant, metric: str) -> str:
    """Why a contestant's examples are of no use, "" where they are.

    Args:
        contestant: It.
        metric: What is tested; "" = nothing.
    """
    try:
        for row in contestant.rows:
            if why := _of_row(row, contestant, metric):
                return f"{why}{_of_seed(row, contestant)}"
        users = contestant.averaged[USER]
        if not users.is_unique().all():
            return "some user stands twice in its examples"
        if metric and contestant.per_user(metric) is None:
            return f"its examples have no {metric} of every user"
    except UserError as error:
        return str(error)
    except (pl.exceptions.PolarsError, ValueError, TypeError) as error:
        return f"its examples cannot be read: {' '.join(str(error).split())}"
    return ""


def _of_row(row: Row, contestant: Contestant, metric: str) -> str:
    record = row.record
    assert record is not None
    assert row.path is not None
    if not (row.path.parent / EXAMPLES).exists():
        return f"no {EXAMPLES} beside its record"
    frame = contestant.by_seed[row.seed]
    if record.examples != len(frame):
        told = counted(record.examples, "example")
        return f"its record speaks of {told}, beside it are {len(frame):,}"
    if metric and metric not in record.metrics:
        return f"its record has no number for {metric}"
    return _disagreement(record, frame)


def _disagreement(record: RunRecord, frame: pl.DataFrame) -> str:
    """The first metric whose mean over users is not what the record says; "" where all are.

    Users without a value of a metric have no part in its mean. What `verify` recomputes beyond
    that (intervals, groups of users, values from answers) takes too long here.
    """
    for name, told in record.metrics.items():
        if name not in frame.columns or not frame[name].dtype.is_numeric():
            continue
        mean = frame[name].cast(pl.Float64).fill_nan(None).mean()
        found = mean if isinstance(mean, float) else math.nan
        if not abs(found - told) <= TOLERANCE:
            return f"its record says {name} {told:.10g}, the examples beside it {found:.10g}"
    return ""


def _of_seed(row: Row, contestant: Contestant) -> str:
    return f" (seed {row.seed})" if len(contestant.rows) > 1 else ""
