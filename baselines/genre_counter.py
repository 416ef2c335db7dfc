"""The labels that stand most often in the history itself: no training."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from baselines.config import GenreCounterSettings
from benchmark.goals import LabelGoal
from benchmark.protocols import FitContext, TrainingData
from benchmark.schema import PADDING
from benchmark.types import FitReport, HistoryBatch, StageReport


class GenreCounter:
    """Ranks labels by how many events of the history have them, ties by how frequent they are.

    Args:
        settings: Its settings.
    """

    def __init__(self, settings: GenreCounterSettings) -> None:
        self.settings = settings
        self.history_length = settings.history
        self.feature = ""
        self.shares = torch.empty(0, dtype=torch.float64)

    def fit(self, data: TrainingData, context: FitContext) -> FitReport:
        """Counts how many training events have each label: it settles ties and nothing else."""
        context.progress.stage("count", 1)
        begin = time.perf_counter()
        self.feature = data.label_feature
        count = data.schema[self.feature].cardinality
        column = torch.from_numpy(np.asarray(data.catalog.columns[self.feature]).astype(np.int64))
        items = np.bincount(data.events.items, minlength=len(column))
        labels = label_counts(column.view(len(column), 1, -1), count)
        events = torch.from_numpy(items).double() @ labels
        # Below one, so that it never outweighs an event.
        self.shares = events / (data.events.num_events + 1)
        seconds = time.perf_counter() - begin
        context.progress.update(1)
        stage = StageReport("count", seconds, epochs=1, targets=data.events.num_events)
        return FitReport((stage,), parameters=count)

    def state(self) -> Mapping[str, Tensor]:
        """The share of the training events that has each label, `[C]`."""
        return {"shares": self.shares}

    def rank_labels(self, histories: HistoryBatch, goal: LabelGoal) -> Tensor:
        """See `benchmark.protocols.LabelRanker`."""
        column = histories.features[self.feature]
        values = column.unflatten(1, (-1, 1)) if column.ndim == 2 else column
        return label_counts(values, len(self.shares)) + self.shares


def label_counts(values: Tensor, count: int) -> Tensor:
    """How many events have each label.

    Args:
        values: `LongTensor[B, L, V]` labels of events; 0 = none, and a label may stand twice.
        count: `C`.

    Returns:
        `DoubleTensor[B, C]`.
    """
    values = values.sort(dim=2).values
    again = values[:, :, 1:] == values[:, :, :-1]
    values[:, :, 1:] = values[:, :, 1:].masked_fill(again, PADDING)
    counts = torch.zeros(len(values), count + 1, dtype=torch.float64)
    ones = torch.ones_like(values, dtype=torch.float64)
    return counts.scatter_add_(1, values.flatten(1), ones.flatten(1))[:, 1:]
