"""What baselines without a model take from training reviews."""

from __future__ import annotations

import time
from collections.abc import Sequence

import polars as pl
import torch
from torch import Tensor

from benchmark.errors import UserError
from benchmark.events import EventLog
from benchmark.goals import TextGoal
from benchmark.protocols import FitContext
from benchmark.types import FitReport, StageReport

SPACE = r"\s+"


def text_goal(context: FitContext) -> TextGoal:
    """The goal to write that a method is fitted for.

    Raises:
        UserError: There is none.
    """
    for goal in context.goals:
        if isinstance(goal, TextGoal):
            return goal
    raise UserError("this method writes texts, and none of the tasks asks for any")


def review_frame(log: EventLog, field: str) -> pl.DataFrame:
    """Columns `item` and `text` of the events with a text, in the order of time; bare white space.

    Args:
        log: Training events.
        field: Of `EventLog.written`.
    """
    frame = pl.DataFrame(
        {"item": log.items, "time": log.timestamps, "text": list(log.written[field])},
        schema_overrides={"text": pl.String},
    )
    bare = pl.col("text").str.replace_all(SPACE, " ").str.strip_chars()
    frame = frame.with_columns(bare).filter(pl.col("text") != "")
    return frame.sort("time", maintain_order=True).select("item", "text")


def most_common(texts: pl.Series) -> str:
    """The most frequent text, of equally frequent ones the first; "" of none."""
    counted = texts.value_counts(name="count")  # in no order
    first = (
        pl.DataFrame({texts.name: texts}).with_row_index("first").unique(texts.name, keep="first")
    )
    best = counted.join(first, on=texts.name).sort(["count", "first"], descending=[True, False])
    return "" if best.is_empty() else str(best[texts.name][0])


def cut(text: str, words: int) -> str:
    """The first words of a text: who knows no tokens keeps to the limit in words."""
    return " ".join(text.split()[:words])


def as_tensor(texts: Sequence[str]) -> Tensor:
    """Texts as one row of bytes, for `Method.state`."""
    return torch.tensor(list("\0".join(texts).encode()), dtype=torch.uint8)


def counting_report(begin: float, texts: int, kept: int) -> FitReport:
    """What reading some texts once took.

    Args:
        begin: `time.perf_counter()` when it began.
        texts: How many were read.
        kept: How many are kept for answers.
    """
    seconds = time.perf_counter() - begin
    stage = StageReport(name="count", seconds=seconds, epochs=1, targets=texts)
    return FitReport(stages=(stage,), parameters=kept)
