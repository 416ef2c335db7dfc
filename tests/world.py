"""A small world that every test may use, made in a fraction of a second.

80 users, 40 items, about 15 events each; four of five events follow from the one before, so a
method that works finds the next item far more often than popularity does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from benchmark.data.dataset import Dataset, fingerprint
from benchmark.data.made_up.synthetic import SyntheticSettings, make_world
from benchmark.schema import ITEM
from benchmark.texts import Texts
from benchmark.types import Candidates, HistoryBatch, Ranking, rank_scores

SMALL = SyntheticSettings(users=80, items=40, events=(10, 20), genres=4, seed=7)


def small_world(**changes: object) -> Dataset:
    """The small world, or one that differs from it in some settings."""
    return make_world(replace(SMALL, **changes), name="world")


def randomise_tests(dataset: Dataset, seed: int = 0) -> Dataset:
    """The same data set with another item, rating and text at every user's last event.

    Nothing that is learnt may change by it. Item features follow the item, as they always do.
    """
    rng = np.random.default_rng(seed)
    log = dataset.events
    last = log.indptr[1:][log.lengths >= 3] - 1
    columns = {name: column.copy() for name, column in log.columns.items()}
    for name, column in columns.items():
        values = log.schema[name].cardinality
        shift = rng.integers(1, values, len(last)) if values > 1 else 0
        column[last] = (column[last] - 1 + shift) % values + 1  # never the value it was
    drawn = set(last.tolist())
    written = {
        name: Texts.of(f"secret {n}" if n in drawn else text for n, text in enumerate(texts))
        for name, texts in log.written.items()
    }
    events = replace(log, columns=columns, written=written)
    assert not np.any(events.columns[ITEM][last] == log.items[last])
    return replace(
        dataset,
        events=events,
        fingerprint=fingerprint(dataset.catalog, events, dataset.users.external_ids),
    )


class TransitionCounts:
    """The simplest method that finds what is planted: counts which item follows which."""

    history_length = 1

    def __init__(self, dataset_events) -> None:
        count = dataset_events.schema.num_items
        self.counts = torch.zeros(count + 1, count + 1)
        items = dataset_events.items
        follows = np.ones(len(items), dtype=bool)
        follows[dataset_events.indptr[:-1][dataset_events.lengths > 0]] = False
        later = np.flatnonzero(follows)
        pairs = torch.from_numpy(items[later - 1]).long(), torch.from_numpy(items[later]).long()
        self.counts.index_put_(pairs, torch.ones(len(later)), accumulate=True)

    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        last = histories.features[ITEM][:, -1]
        return rank_scores(self.counts[last], candidates, k)


class FixedScores:
    """Scores that depend on the item alone, or on a function of the histories.

    Args:
        scores: `[N + 1]`, or a function from histories to `[B, N + 1]`.
        log_probs: Whether they are log-probabilities.
        history_length: Most events of a history.
    """

    def __init__(self, scores, *, log_probs: bool = False, history_length: int = 5) -> None:
        self.scores = scores
        self.log_probs = log_probs
        self.history_length = history_length

    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        scores = self.scores(histories) if callable(self.scores) else self.scores
        scores = scores.expand(len(histories), -1)
        return rank_scores(scores, candidates, k, log_probs=self.log_probs)


def hashed_scores(histories: HistoryBatch, count: int = SMALL.items) -> torch.Tensor:
    """Scores without ties that depend on the whole history and on nothing else, `[B, N + 1]`."""
    items = histories.features[ITEM].double()
    weights = torch.arange(1, items.shape[1] + 1, dtype=torch.float64).sqrt()
    key = (items * weights).sum(dim=1, keepdim=True)
    return torch.sin(key + torch.arange(count + 1, dtype=torch.float64) * 1.7)
