"""How the tests of the baselines fit a method in a second, and what they ask it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.data.dataset import Dataset
from benchmark.data.division import Split
from benchmark.protocols import FitContext
from benchmark.schema import ITEM
from benchmark.tasks.config import NextItemSettings
from benchmark.tasks.next_item import NextItem
from benchmark.types import Candidates, HistoryBatch


class Silent:
    """Progress that nobody reads."""

    def stage(self, name: str, total_epochs: float | None = None) -> None: ...

    def update(
        self, epoch: float, loss: float | None = None, value: float | None = None
    ) -> None: ...

    def note(self, text: str) -> None: ...


_CACHES = tempfile.TemporaryDirectory()


def context(split: Split, seed: int = 0) -> FitContext:
    """What the harness would hand a method; nothing is in its cache."""
    return FitContext(
        seed=seed,
        cache=Path(tempfile.mkdtemp(dir=_CACHES.name)),
        validate=NextItem(NextItemSettings()).validator(split, "exclude"),
        progress=Silent(),
    )


def validation(method: Any, split: Split) -> Mapping[str, float]:
    """Means of the metrics over the validation examples, seen items taken out."""
    return NextItem(NextItemSettings()).validator(split, "exclude")(method)


def histories(dataset: Dataset, rows: int, length: int) -> HistoryBatch:
    """The first events of the first users, `length` columns wide, of different lengths."""
    log = dataset.events
    starts = log.indptr[:rows]
    stops = starts + np.minimum(1 + np.arange(rows) % length, log.lengths[:rows])
    return log.gather(starts, stops, length)


def wider(batch: HistoryBatch, by: int) -> HistoryBatch:
    """The same histories with more padding."""
    features = {
        name: torch.cat([v, v.new_zeros(len(v), by, *v.shape[2:])], dim=1)
        for name, v in batch.features.items()
    }
    mask = torch.cat([batch.mask, batch.mask.new_zeros(len(batch), by)], dim=1)
    return HistoryBatch(features, mask, batch.users)


def scores(method: Any, batch: HistoryBatch, dataset: Dataset) -> torch.Tensor:
    """The score of every item, `[B, N + 1]`."""
    ranking = method.rank(batch, Candidates(len(dataset.catalog)), 10)
    assert ranking.all_scores is not None
    return ranking.all_scores


def items(batch: HistoryBatch) -> torch.Tensor:
    """Item ids `[B, L]`."""
    return batch.features[ITEM]
