"""How a task judges answers of models that were not run here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

from benchmark.data.dataset import Dataset
from benchmark.data.division import Split
from benchmark.tasks.evaluation import Evaluation


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
    """What a task reads of a file of answers, and how it scores it.

    Attributes:
        columns: Columns beside `user`; the first is needed.
        judge: Scores them.
    """

    columns: tuple[str, ...]
    judge: Judging
