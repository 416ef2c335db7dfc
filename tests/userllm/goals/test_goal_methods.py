"""The harness's face of labels, texts and several goals: what is planted is found, and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.data.division import Split
from benchmark.data.splits import split_last
from benchmark.events import EventLog
from benchmark.goals import Decoding, Goal, LabelGoal, NextItemGoal, TextGoal
from benchmark.protocols import (
    FitContext,
    LabelRanker,
    Shared,
    TextGenerator,
    TrainingData,
)
from benchmark.types import FitReport, HistoryBatch
from tests.world import small_world
from userllm.config import UserEncoderSettings, UserLLMSettings
from userllm.encoder_method import UserEncoderMethod, build_encoder
from userllm.method import UserLLMMethod
from userllm.progress import Silent

ENCODER: dict[str, Any] = {
    "transformer": {"width": 32, "layers": 1, "heads": 2, "dropout": 0.0},
    "fit": {"history": 12, "batch_size": 16, "epochs": 6, "looks": 0},
    "optimizer": {"learning_rate": 5e-3},
    "label": {"steps": 150, "epochs": 1, "looks": 1},
}
LLM: dict[str, Any] = {
    "language_model": {"width": 48, "layers": 1, "vocabulary": 400, "epochs": 3, "batch_size": 16},
    "align": {"steps": 20, "batch_size": 20},
    "tune": {
        "targets": 800,
        "examples": 3200,
        "windows": 8,
        "looks": 1,
        "optimizer": {"learning_rate": 4e-3},
    },
}
HELD = 20
"""Every so many users are asked, the others learnt from."""


def latest_genre(log: EventLog, users: np.ndarray) -> LabelGoal:
    """The first genre of the latest event of every beginning of some users' histories."""
    spans = [
        (log.indptr[u], stop) for u in users for stop in range(log.indptr[u] + 2, log.indptr[u + 1])
    ]
    starts, stops = (np.array(side) for side in zip(*spans, strict=True))
    labels = log.schema["genres"].labels
    genre = log.item_columns["genres"][log.items[stops - 1], 0]
    right = np.arange(1, len(labels) + 1) == genre[:, None]
    return LabelGoal("genre", "Genre:", labels, starts, stops, right)


def own_words(log: EventLog, goal: LabelGoal) -> TextGoal:
    """What a user wrote of the latest event, asked for with a prompt that tells nothing."""
    said = [log.written["text"][int(stop) - 1] for stop in goal.stops]
    return TextGoal("words", "text", goal.starts, goal.stops, ["Review:"] * len(said), said, 24)


def histories(log: EventLog, goal: LabelGoal | TextGoal) -> HistoryBatch:
    return log.gather(goal.starts, goal.stops, 12, written=True)


@pytest.fixture(scope="module")
def split() -> Split:
    return split_last(small_world())


def context_of(
    goals: Sequence[Goal], cache: Path, data: TrainingData, asked: LabelGoal
) -> FitContext:
    def validate(method: Any) -> dict[str, float]:
        if hasattr(method, "rank_labels") and any(isinstance(g, LabelGoal) for g in goals):
            scores = method.rank_labels(histories(data.events, asked), asked)
            return {"right": float(hits(scores, asked).mean())}
        return {"right": 0.0}

    def validate_items(method: Any) -> dict[str, float]:
        return {"recall@10": 0.0}

    return FitContext(
        seed=0,
        cache=cache,
        validate=validate,
        progress=Silent(),
        validation="a few users",
        goals=tuple(goals),
        watch="right",
        shared=Shared(data, validate_items, "items"),
    )


def hits(scores: torch.Tensor, goal: LabelGoal) -> np.ndarray:
    best = scores.argmax(dim=1).numpy()
    found: np.ndarray = goal.right[np.arange(len(best)), best]
    return found


def fit(method: Any, data: TrainingData, context: FitContext) -> FitReport:
    if isinstance(method, UserLLMMethod):
        shared, general = context.for_sharing(data)
        encoder = UserEncoderSettings.model_validate(ENCODER)
        context = replace(context, encoder=build_encoder(shared, encoder, general))
    torch.manual_seed(0)
    report: FitReport = method.fit(data, context)
    return report


def new_method(name: str) -> Any:
    if name == "user_encoder":
        return UserEncoderMethod(UserEncoderSettings.model_validate(ENCODER))
    return UserLLMMethod(UserLLMSettings.model_validate(LLM))


def goals_of(log: EventLog) -> tuple[LabelGoal, LabelGoal]:
    """What is learnt, and what is asked: of other users."""
    users = np.arange(log.num_users)
    return tuple(latest_genre(log, part) for part in (users[users % HELD > 0], users[::HELD]))  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["user_encoder", "user_llm"])
def test_a_planted_label_is_found_and_kept(name: str, split: Split, tmp_path: Path) -> None:
    data = split.train
    goal, asked = goals_of(data.events)
    context = context_of([goal], tmp_path / "cache", data, asked)
    method = new_method(name)
    report = fit(method, data, context)
    assert isinstance(method, LabelRanker)
    scores = method.rank_labels(histories(data.events, asked), asked)
    blind = asked.right.mean(axis=0).max()  # the best answer that is the same for everybody
    assert hits(scores, asked).mean() > blind + 0.3
    assert [stage.name for stage in report.stages][-1] in ("label_tune", "tune")

    folder = tmp_path / "model"
    folder.mkdir()
    method.save(folder)
    other = new_method(name)
    if name == "user_llm":
        encoder = UserEncoderSettings.model_validate(ENCODER)
        built = build_encoder(data, encoder, context, pretrained=False)
        context = replace(context, encoder=built)
    other.restore(folder, data, context)
    again = other.rank_labels(histories(data.events, asked), asked)
    assert torch.equal(again, scores)


def test_one_model_serves_several_tasks_and_is_trained_once(split: Split, tmp_path: Path) -> None:
    data = split.train
    goal, asked = goals_of(data.events)
    words = own_words(data.events, asked)
    goals = [NextItemGoal(), goal, own_words(data.events, goal)]
    context = context_of(goals, tmp_path / "cache", data, asked)
    first, second = new_method("user_llm"), new_method("user_llm")
    assert not fit(first, data, context).stages[-1].reused
    report = fit(second, data, context)
    assert all(stage.reused for stage in report.stages)
    state = second.state()
    assert all(torch.equal(value, state[key]) for key, value in first.state().items())

    batch = histories(data.events, asked)
    assert hits(second.rank_labels(batch, asked), asked).mean() > asked.right.mean(axis=0).max()
    assert isinstance(second, TextGenerator)
    prompts, items = list(words.prompts), batch.features["item"][:, 0]
    texts = second.generate(batch, prompts, items, Decoding(longest=24))
    # The verdict and the genre follow from the event, so texts must be as many as users are.
    shared = np.mean([len(overlap(a, b)) for a, b in zip(texts, words.references, strict=True)])
    turned = [*words.references[7:], *words.references[:7]]
    chance = np.mean([len(overlap(a, b)) for a, b in zip(texts, turned, strict=True)])
    assert shared > chance + 0.2


def overlap(text: str, other: str) -> set[str]:
    return set(text.split()) & set(other.split())
