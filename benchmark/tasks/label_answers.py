"""What is asked of labels, what is answered, and how an answer is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor

from benchmark.data.dataset import Dataset
from benchmark.data.histories import Examples
from benchmark.errors import RunError
from benchmark.goals import LabelNames

SHOWN = 10
"""Labels of each ranking that are kept."""


@dataclass(frozen=True)
class Question:
    """Users that are asked, and their right labels.

    Attributes:
        examples: `n` histories.
        right: `BoolArray[n, C]`; several are right where labels are tied.
    """

    examples: Examples
    right: np.ndarray

    def only(self, rows: np.ndarray) -> Question:
        """Some of the users, by position or by a mask."""
        return Question(self.examples.only(rows), self.right[rows])

    def sample(self, count: int, seed: int = 0) -> Question:
        """A random `count` of the users, in their order; all where `count` is 0 or no less."""
        if not 0 < count < len(self.examples):
            return self
        drawn = np.random.default_rng(seed).choice(len(self.examples), size=count, replace=False)
        return self.only(np.sort(drawn))


def check_scores(scores: Tensor, rows: int, count: int, name: str) -> Tensor:
    """The scores of a batch, if they are what was asked for.

    Args:
        scores: The answer.
        rows: `B`.
        count: `C`.
        name: The method, for errors.

    Raises:
        RunError: They are not.
    """
    if scores.shape != (rows, count) or not scores.is_floating_point():
        raise RunError(
            f"{name}: it scored {tuple(scores.shape)} ({scores.dtype}), not {(rows, count)} labels"
        )
    scores = scores.detach().cpu()
    if torch.isnan(scores).any():
        raise RunError(f"{name}: the score of a label is no number")
    return scores


def ranked(scores: Tensor) -> np.ndarray:
    """Indices of all labels, best first, `[B, C]`; equal scores in the order of the labels."""
    order: np.ndarray = scores.sort(dim=1, descending=True, stable=True).indices.numpy()
    return order


def tabulate(
    dataset: Dataset,
    question: Question,
    labels: LabelNames,
    order: np.ndarray,
    values: Mapping[str, np.ndarray],
) -> pl.DataFrame:
    """Answers and metric values as a frame with names, one row a user.

    Columns: `user`, `right` (names of the right labels), `ranked` (names, best first, at most
    `SHOWN`), `tied` (several labels are right: no part of macro-F1), and one a metric.
    """
    users = np.array(dataset.users.external_ids, dtype=object)
    names = np.array(labels, dtype=object)
    right = [names[row].tolist() for row in question.right]
    return pl.DataFrame(
        {
            "user": pl.Series(users[question.examples.users - 1].tolist(), dtype=pl.String),
            "right": pl.Series(right, dtype=pl.List(pl.String)),
            "ranked": pl.Series(names[order[:, :SHOWN]].tolist(), dtype=pl.List(pl.String)),
            "tied": pl.Series(question.right.sum(axis=1) > 1, dtype=pl.Boolean),
            **{name: pl.Series(column, dtype=pl.Float64) for name, column in values.items()},
        }
    )
