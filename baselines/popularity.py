"""The most frequent items, or labels, the same for everybody."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from baselines.config import PopularitySettings
from benchmark.events import EventLog
from benchmark.goals import LabelGoal
from benchmark.protocols import FitContext, TrainingData
from benchmark.schema import PADDING
from benchmark.types import Candidates, FitReport, HistoryBatch, Ranking, StageReport, rank_scores
from userllm.goals.label_head import label_goal


class Popularity:
    """Ranks items by how often they occur in the training events, labels by how often right.

    Args:
        settings: Its settings.
    """

    history_length = 0

    def __init__(self, settings: PopularitySettings) -> None:
        self.settings = settings
        self.log_probs = torch.empty(0)
        self.shares: Tensor | None = None

    def fit(self, data: TrainingData, context: FitContext) -> FitReport:
        """Counts the training events."""
        context.progress.stage("count", 1)
        begin = time.perf_counter()
        self.log_probs = log_frequency(data.events, self.settings.smoothing)
        self.log_probs[PADDING] = -torch.inf
        goal = label_goal(context.goals)
        if goal is not None:
            self.shares = torch.from_numpy(goal.right.mean(axis=0))
        stage = StageReport(
            name="count",
            seconds=time.perf_counter() - begin,
            epochs=1,
            targets=data.events.num_events,
        )
        context.progress.update(1)
        return FitReport(stages=(stage,), parameters=len(data.catalog))

    def state(self) -> Mapping[str, Tensor]:
        """The items' log-probabilities, `[N + 1]`, and how often each label is right, `[C]`."""
        labels = {} if self.shares is None else {"shares": self.shares}
        return {"log_probs": self.log_probs, **labels}

    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        """The same order for every history."""
        scores = self.log_probs.expand(len(histories), -1)
        return rank_scores(scores, candidates, k, log_probs=True)

    def rank_labels(self, histories: HistoryBatch, goal: LabelGoal) -> Tensor:
        """The share of training examples in which each label is right, for every history."""
        assert self.shares is not None, "fit for labels first"
        return self.shares.expand(len(histories), -1)


def log_frequency(events: EventLog, smoothing: float = 1.0) -> Tensor:
    """Log-share `[N + 1]` of each item among some events; 0 stands at padding.

    Args:
        events: What to count.
        smoothing: Added to every item's count.
    """
    counts = np.bincount(events.items, minlength=events.schema.num_items + 1) + smoothing
    shares = torch.from_numpy(counts / counts[1:].sum()).log().float()
    shares[PADDING] = 0
    return shares
