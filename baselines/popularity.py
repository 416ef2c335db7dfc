"""The most frequent items, the same for everybody."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from baselines.config import PopularitySettings
from benchmark.events import EventLog
from benchmark.protocols import FitContext, TrainingData
from benchmark.schema import PADDING
from benchmark.types import Candidates, FitReport, HistoryBatch, Ranking, StageReport, rank_scores


class Popularity:
    """Ranks items by how often they occur in the training events.

    Args:
        settings: Its settings.
    """

    history_length = 1

    def __init__(self, settings: PopularitySettings) -> None:
        self.settings = settings
        self.log_probs = torch.empty(0)

    def fit(self, data: TrainingData, context: FitContext) -> FitReport:
        """Counts the training events."""
        context.progress.stage("count", 1)
        begin = time.perf_counter()
        self.log_probs = log_frequency(data.events, self.settings.smoothing)
        self.log_probs[PADDING] = -torch.inf
        stage = StageReport(
            name="count",
            seconds=time.perf_counter() - begin,
            epochs=1,
            targets=data.events.num_events,
        )
        context.progress.update(1)
        return FitReport(stages=(stage,), parameters=len(data.catalog))

    def state(self) -> Mapping[str, Tensor]:
        """The items' log-probabilities, `[N + 1]`."""
        return {"log_probs": self.log_probs}

    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        """The same order for every history."""
        scores = self.log_probs.expand(len(histories), -1)
        return rank_scores(scores, candidates, k, log_probs=True)


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
