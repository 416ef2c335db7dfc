"""The user's previous review: what one can write without knowing what it is about."""

from __future__ import annotations

import time
from collections.abc import Mapping

from torch import Tensor

from baselines.review_config import PreviousReviewSettings
from baselines.review_texts import (
    as_tensor,
    counting_report,
    cut,
    most_common,
    review_frame,
    text_goal,
)
from benchmark.goals import Decoding
from benchmark.protocols import FitContext, TrainingData
from benchmark.types import FitReport, HistoryBatch


class PreviousReview:
    """Writes the latest review of the history again.

    Where the history holds none, it writes the most common training review, of equally common ones
    the first.

    Args:
        settings: Its settings.
    """

    def __init__(self, settings: PreviousReviewSettings) -> None:
        self.settings = settings
        self.history_length = settings.history
        self._field = ""
        self._overall = ""

    def fit(self, data: TrainingData, context: FitContext) -> FitReport:
        """Counts the training reviews."""
        context.progress.stage("count", 1)
        begin = time.perf_counter()
        self._field = text_goal(context).field
        reviews = review_frame(data.events, self._field)
        self._overall = most_common(reviews["text"])
        context.progress.update(1)
        return counting_report(begin, len(reviews), 1)

    def state(self) -> Mapping[str, Tensor]:
        """See `benchmark.protocols.Method`."""
        return {"most_common": as_tensor([self._overall])}

    def generate(
        self, histories: HistoryBatch, prompts: list[str], items: Tensor, decoding: Decoding
    ) -> list[str]:
        """See `benchmark.protocols.TextGenerator`; the limit counts words."""
        written = histories.written[self._field]
        latest = [
            next((text for text in reversed(own) if text.strip()), self._overall) for own in written
        ]
        return [cut(text, decoding.longest) for text in latest]
