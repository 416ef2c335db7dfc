"""The most common sentence of an item's reviews: what one can write without knowing the user."""

from __future__ import annotations

import time
from collections.abc import Mapping

import polars as pl
import torch
from torch import Tensor

from baselines.review_config import CommonSentenceSettings
from baselines.review_texts import as_tensor, counting_report, cut, review_frame, text_goal
from benchmark.goals import Decoding
from benchmark.protocols import FitContext, TrainingData
from benchmark.types import FitReport, HistoryBatch


class CommonSentence:
    """Writes the sentence that most training reviews of the item hold.

    Of sentences that are equally common there, the one that is most common among all reviews is
    taken, and of these the one written first. An item without a training review gets the most
    common sentence of all.

    Args:
        settings: Its settings.
    """

    history_length = 0

    def __init__(self, settings: CommonSentenceSettings) -> None:
        self.settings = settings
        self._sentences: dict[int, str] = {}
        self._overall = ""

    def fit(self, data: TrainingData, context: FitContext) -> FitReport:
        """Counts the sentences of the training reviews."""
        context.progress.stage("count", 1)
        begin = time.perf_counter()
        reviews = review_frame(data.events, text_goal(context).field)
        self._sentences, self._overall = common_sentences(reviews)
        context.progress.update(1)
        return counting_report(begin, len(reviews), len(self._sentences))

    def state(self) -> Mapping[str, Tensor]:
        """See `benchmark.protocols.Method`."""
        items = sorted(self._sentences)
        texts = [self._overall, *(self._sentences[item] for item in items)]
        return {"items": torch.tensor(items, dtype=torch.long), "sentences": as_tensor(texts)}

    def generate(
        self, histories: HistoryBatch, prompts: list[str], items: Tensor, decoding: Decoding
    ) -> list[str]:
        """See `benchmark.protocols.TextGenerator`; the limit counts words."""
        texts = [self._sentences.get(item, self._overall) for item in items.tolist()]
        return [cut(text, decoding.longest) for text in texts]


def common_sentences(reviews: pl.DataFrame) -> tuple[dict[int, str], str]:
    """The most common sentence of each item, and of all reviews ("" where there is none).

    A sentence counts once a review. It ends at a full stop, a question or an exclamation mark with
    a space behind it.

    Args:
        reviews: From `review_frame`.
    """
    pieces = pl.col("text").str.replace_all(r"([.!?]) ", "$1\n").str.split("\n")
    rows = reviews.with_row_index("review").with_columns(pieces.list.unique(maintain_order=True))
    rows = rows.explode("text").with_row_index("first")
    counts = {"everywhere": pl.len().over("text"), "first": pl.col("first").min().over("text")}
    rows = rows.with_columns(**counts)
    own = rows.group_by("item", "text").agg(pl.len(), pl.first("everywhere", "first"))
    order = ["len", "everywhere", "first"]
    own = own.sort(order, descending=[True, True, False]).unique("item", keep="first")
    overall = rows.sort("everywhere", "first", descending=[True, False])["text"].head(1)
    sentences = dict(zip(own["item"].to_list(), own["text"].to_list(), strict=True))
    return sentences, "".join(overall.to_list())
