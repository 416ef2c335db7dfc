"""What comes out when a method is asked: values a user, and their means with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from benchmark.data.division import Split
from benchmark.data.histories import Examples
from benchmark.types import Progress

PARTS = ("test", "validation")


@dataclass(frozen=True)
class Evaluation:
    """What came out, example by example and on average.

    Attributes:
        examples: A row a user: `user`, what was asked and answered, and a column a metric; null
            where a metric is not defined for the user.
        metrics: Means over users; of a group of users under `metric/group`.
        intervals: 95% bootstrap intervals of the means.
        seconds: Wall-clock time of asking.
        labels: All labels in their order, where what is asked is one of them.
    """

    examples: pl.DataFrame
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    seconds: float
    labels: tuple[str, ...] = ()


def examples_of(split: Split, part: str, users: int = 0) -> Examples:
    """The examples of a part, or of some users drawn from it.

    Args:
        split: Where they come from.
        part: `test` or `validation`.
        users: How many, the same ones in every run; 0 = all.

    Raises:
        ValueError: There is no such part.
    """
    if part not in PARTS:
        raise ValueError(f"part must be one of {PARTS}, got {part!r}")
    examples = split.test if part == "test" else split.validation
    return examples.sample(users, seed=0) if users else examples


def heard(progress: Progress | None, part: str, count: int) -> Callable[[int], None]:
    """Begins the stage of asking, and gives what is to be told how many examples are done.

    Args:
        progress: Who listens; None = nobody.
        part: What is asked.
        count: Examples in all.
    """
    if progress is None:
        return lambda done: None
    listener = progress
    listener.stage(f"evaluate on {part}", 1.0)
    return lambda done: listener.update(done / count)
