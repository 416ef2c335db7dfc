"""What a task asks models that are not run here, and how it judges their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

from benchmark.data.dataset import Dataset
from benchmark.data.division import Split
from benchmark.data.histories import Examples
from benchmark.tasks.evaluation import Evaluation


@dataclass(frozen=True)
class Asked:
    """Who is asked what.

    Attributes:
        examples: The histories, `n`.
        given: What is told beside the history, `[n]` each.
        targets: What is to be found, `[n]` each.
        facts: What holds for everybody.
        window: Latest events of a history that anybody reads; 0 = all.
    """

    examples: Examples
    given: Mapping[str, pl.Series]
    targets: Mapping[str, pl.Series]
    facts: Mapping[str, str]
    window: int = 0

    def users(self, dataset: Dataset) -> list[str]:
        """External ids of who is asked, in order."""
        external = dataset.users.external_ids
        return [external[user - 1] for user in self.examples.users]


class Asking(Protocol):
    """Says what is asked."""

    def __call__(self, task: Any, split: Split, dataset: Dataset, part: str) -> Asked:
        """What a task asks of a part of a split."""
        ...


class Judging(Protocol):
    """Scores a frame of answers with the task's own code."""

    def __call__(
        self, task: Any, frame: pl.DataFrame, split: Split, dataset: Dataset, seen: str, part: str
    ) -> Evaluation:
        """Scores answers.

        Args:
            task: The task, with its settings.
            frame: The answers: `user` and the columns that the task reads.
            split: How the data set is divided.
            dataset: The data set.
            seen: `exclude` or `include`.
            part: `test` or `validation`.

        Raises:
            UserError: They are not one answer for each user that is asked.
        """
        ...


@dataclass(frozen=True)
class Judge:
    """What a task asks, what it reads of a file of answers, and how it scores it.

    Attributes:
        columns: Columns beside `user`; the first is needed.
        ask: Says what is asked.
        judge: Scores the answers.
    """

    columns: tuple[str, ...]
    ask: Asking
    judge: Judging
