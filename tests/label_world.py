"""A small world in which users have a favourite genre, and what the harness hands a method for it.

Users jump between items of the two genres that they like four times of five, so that what they
did tells what they will do; popularity and the latest event alone tell little.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmark.data.dataset import Dataset
from benchmark.data.division import Split, shared_split
from benchmark.data.made_up.synthetic import SyntheticSettings, make_world
from benchmark.data.splits import split_last
from benchmark.protocols import FitContext, Shared
from benchmark.registrations import METHODS
from benchmark.registry import load
from benchmark.tasks.config import FavoriteGenreSettings, NextItemSettings
from benchmark.tasks.favorite_genre import FavoriteGenre
from benchmark.tasks.next_item import NextItem
from benchmark.types import FitReport
from tests.baselines.fitting import Silent

TASTE = SyntheticSettings(
    users=200, items=60, events=(16, 30), genres=6, follow=0.2, repeats=True, seed=3
)
FIT = {"history": 30, "batch_size": 32, "epochs": 15, "looks": 2}
SMALL = {
    "transformer": {"width": 32, "layers": 1, "heads": 2, "dropout": 0.1},
    "fit": FIT,
    "optimizer": {"learning_rate": 5e-3},
    "label": {"steps": 200, "epochs": 5, "looks": 2, "optimizer": {"learning_rate": 2e-3}},
}


def taste_world(**changes: Any) -> Dataset:
    return make_world(replace(TASTE, **changes), name="taste")


def make_task(**settings: Any) -> FavoriteGenre:
    return FavoriteGenre(FavoriteGenreSettings.model_validate({"horizon": 5, **settings}))


def divide(world: Dataset, task: FavoriteGenre) -> Split:
    return split_last(world, task.need)


def label_context(
    world: Dataset, task: FavoriteGenre, split: Split, cache: Path, seed: int = 0
) -> FitContext:
    """What the harness would hand a method."""
    shared = shared_split(world, {task.name: split})
    first = NextItem(NextItemSettings())
    return FitContext(
        seed=seed,
        cache=cache,
        validate=task.validator(split, "include"),
        progress=Silent(),
        validation=f"{split.target_hash} {task.settings}",
        goals=(task.goal(split.train),),
        watch=task.watch,
        shared=Shared(shared.train, first.validator(shared, "include"), shared.target_hash),
    )


def fit(
    name: str,
    split: Split,
    context: FitContext,
    settings: dict[str, Any] | None = None,
) -> tuple[Any, FitReport]:
    entry = METHODS[name]
    model = load(entry.settings).model_validate(settings or {})  # type: ignore[attr-defined]
    method: Any = entry.load()(model)  # type: ignore[operator]
    torch.manual_seed(context.seed)
    return method, method.fit(split.train, context)
