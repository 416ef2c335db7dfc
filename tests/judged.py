"""Cells of each task that were really judged, with made-up answers, as a run leaves them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmark.data.splits import split_cold_items, split_last
from benchmark.data.splits_config import ColdItemsSettings
from benchmark.records import results
from benchmark.records.example_files import Stored, write_examples
from benchmark.tasks.config import NextItemSettings, ReviewGenerationSettings
from benchmark.tasks.evaluation import Evaluation
from benchmark.tasks.next_item import NextItem
from benchmark.tasks.review_generation import ReviewGeneration
from tests.label_world import divide, make_task, taste_world
from tests.records import make_record, write_record
from tests.world import FixedScores, hashed_scores, small_world


class Labels:
    """Says labels by a function of the first item that it reads."""

    history_length = 50

    def rank_labels(self, histories: Any, goal: Any) -> torch.Tensor:
        count = len(goal.labels)
        return torch.sin(histories.features["item"][:, :1] * torch.arange(1.0, count + 1))


class Quoter:
    """Writes the prompt."""

    history_length = 5

    def generate(self, histories: Any, prompts: list[str], items: Any, decoding: Any) -> list[str]:
        return prompts


@cache
def next_item() -> tuple[Any, Any, Any, Any]:
    world = small_world()
    task = NextItem(NextItemSettings(bootstrap_samples=200, bootstrap_seed=3))
    return task, world, split_last(world), FixedScores(hashed_scores)


@cache
def with_groups() -> tuple[Any, Any, Any, Any]:
    world = small_world()
    task = NextItem(NextItemSettings(bootstrap_samples=200))
    split = split_cold_items(world, task.need, ColdItemsSettings())
    return task, world, split, FixedScores(hashed_scores)


@cache
def favorite_genre() -> tuple[Any, Any, Any, Any]:
    world = taste_world(users=60, genres=8)  # the last of 8 is not the last of the alphabet
    task = make_task(bootstrap_samples=200)
    return task, world, divide(world, task), Labels()


@cache
def review_generation() -> tuple[Any, Any, Any, Any]:
    world = small_world(titled=True)
    task = ReviewGeneration(ReviewGenerationSettings(bootstrap_samples=200))
    return task, world, split_last(world, task.need), Quoter()


TASKS: dict[str, Callable[[], tuple[Any, Any, Any, Any]]] = {
    "next_item": next_item,
    "groups": with_groups,
    "favorite_genre": favorite_genre,
    "review_generation": review_generation,
}


@cache
def judged(kind: str, part: str = "test") -> tuple[results.RunRecord, Evaluation]:
    """A record with what its task found; do not change it."""
    task, world, split, method = TASKS[kind]()
    found = task.evaluate(method, split, world, "exclude", part)
    base = make_record("alpha")
    record = make_record(
        "alpha",
        task=results.Component(
            name=task.name, version=task.version, settings=task.settings.model_dump(mode="json")
        ),
        dataset=results.DatasetFacts(
            name=world.name,
            fingerprint=world.fingerprint,
            target_hash=split.target_hash,
            facts=dict(split.facts),
        ),
        protocol=base.protocol.model_copy(update={"part": part, "split": split.name}),
        metrics=found.metrics,
        intervals=found.intervals,
        examples=found.examples.height,
        git={"commit": "c" * 40, "dirty": False},
        command="userllm-bench run",
    )
    return record, found


def keep(folder: Path, kind: str, part: str = "test", **changes: Any) -> Path:
    """Writes such a cell.

    Args:
        folder: Where to.
        kind: One of `TASKS`.
        part: Of the split.
        changes: Of the record; `frame` is a function that changes the examples.
    """
    record, found = judged(kind, part)
    change = changes.pop("frame", lambda frame: frame)
    path = write_record(folder, record.model_copy(update=changes))
    write_examples(folder, Stored(change(found.examples), found.labels))
    return path
