"""Fitting for labels, for texts and for several goals at once."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.events import EventLog
from benchmark.goals import Decoding, Goal, NextItemGoal
from benchmark.schema import FeatureSchema
from benchmark.types import IDS, StageReport
from tests.tiny_model import make_catalog
from tests.userllm.goal_world import TEXTS, label_goal, make_log, text_goal
from tests.userllm.test_fitting import MOVES, changed, part_of
from userllm.config import UserLLMSettings
from userllm.encoder.user_encoder import UserEncoder
from userllm.fitting import Fitting, fit
from userllm.goals.answers import label_log_probs, write
from userllm.goals.examples import gather_histories
from userllm.goals.feeds import feed_of, goal_facts, together
from userllm.goals.goal_stages import mixed
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM
from userllm.progress import Silent

QUICK: dict[str, Any] = {
    "fusion": {"heads": 2},
    "lora_rank": 2,
    "align": {"steps": 2, "batch_size": 4},
    "tune": {"targets": 60, "examples": 24, "batch_size": 8, "windows": 4, "looks": 0},
}


def make_model(
    encoder: UserEncoder, llm: LanguageModel, source: str = "titles", **changes: Any
) -> UserLLM:
    torch.manual_seed(5)
    settings = UserLLMSettings.model_validate({**QUICK, **changes})
    return UserLLM(encoder, llm, settings, replace(make_catalog(), text_source=source))


def goals_of(kind: str, log: EventLog) -> list[Goal]:
    return {
        "labels": [label_goal(log)],
        "texts": [text_goal(log)],
        "all": [NextItemGoal(), label_goal(log), text_goal(log)],
    }[kind]


@pytest.mark.parametrize("kind", ["labels", "texts", "all"])
@pytest.mark.parametrize("strategy", list(MOVES))
def test_every_goal_moves_what_the_strategy_promises(
    kind: str, strategy: str, encoder: UserEncoder, llm: LanguageModel, schema: FeatureSchema
) -> None:
    model, log = make_model(encoder, llm, strategy=strategy), make_log(schema)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stages = fit(model, log, Fitting(0, Silent()), goals_of(kind, log))
    assert [stage.name for stage in stages] == ["align", "tune"]
    assert changed(before, dict(model.state_dict())) == MOVES[strategy]
    trained = {part_of(name) for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained == MOVES[strategy]


@pytest.mark.parametrize("kind", ["labels", "texts"])
def test_where_items_have_no_text_nothing_is_said_of_them(
    kind: str, encoder: UserEncoder, llm: LanguageModel, schema: FeatureSchema
) -> None:
    model, log = make_model(encoder, llm, IDS), make_log(schema)
    assert model.catalog is not None
    vars(model.catalog)["texts"] = ("</s>",) * len(model.catalog.texts)  # none that could be said
    stages = fit(model, log, Fitting(0, Silent()), goals_of(kind, log))
    assert [stage.name for stage in stages] == ["tune"]


def test_the_item_head_needs_no_titles_either(
    encoder: UserEncoder, llm: LanguageModel, schema: FeatureSchema
) -> None:
    model, log = make_model(encoder, llm, IDS, loss="item_head"), make_log(schema)
    assert model.catalog is not None
    vars(model.catalog)["texts"] = ("</s>",) * len(model.catalog.texts)
    stages = fit(model, log, Fitting(0, Silent()))
    assert [stage.name for stage in stages] == ["tune"]


LEARNS = {"targets": 1500, "examples": 2000, "batch_size": 24, "windows": 8, "looks": 0}


def test_one_fit_learns_labels_and_texts_from_the_user(
    encoder: UserEncoder, llm: LanguageModel, schema: FeatureSchema
) -> None:
    tune = {**LEARNS, "optimizer": {"learning_rate": 5e-3}}
    model, log = make_model(encoder, llm, tune=tune), make_log(schema)
    labels, texts = label_goal(log), text_goal(log, longest=16)
    fit(model, log, Fitting(0, Silent()), [NextItemGoal(), labels, texts])
    histories = gather_histories(log, labels.starts, labels.stops, 6)
    found = label_log_probs(model, histories, labels.query, labels.labels).argmax(dim=1)
    told = labels.right[np.arange(len(found)), found.numpy()].mean()
    assert told > 0.8  # the most frequent label is right for less than half of them
    assert labels.right.mean(axis=0).max() < 0.6
    # The prompt is the same for all, so what is written can only come from the user.
    written = write(model, histories, ["A | Review:"] * len(histories), Decoding(longest=16))
    right = np.mean([a == b for a, b in zip(written, texts.references, strict=True)])
    assert right > 0.8
    assert max(Counter(texts.references).values()) / len(histories) < 0.7
    assert set(written) <= set(TEXTS)


Parts = Callable[[], tuple[UserEncoder, LanguageModel]]


@pytest.fixture
def fresh(encoder: UserEncoder, llm: LanguageModel) -> Parts:
    """Gives the same encoder and language model, untouched, whenever it is asked."""
    return lambda: deepcopy((encoder, llm))


def fitted(
    model: UserLLM, log: EventLog, goals: Sequence[Goal], cache: Path | None, seed: int = 0
) -> tuple[StageReport, ...]:
    return fit(model, log, Fitting(seed, Silent(), cache=cache), goals)


@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_the_second_of_two_fits_for_several_goals_trains_nothing(
    strategy: str, fresh: Parts, schema: FeatureSchema, tmp_path: Path
) -> None:
    log = make_log(schema)
    goals = goals_of("all", log)

    def weights(cache: Path | None) -> tuple[list[bool], dict[str, torch.Tensor]]:
        model = make_model(*fresh(), strategy=strategy)
        stages = fitted(model, log, goals, cache)
        return [stage.reused for stage in stages], dict(model.state_dict())

    reused, first = weights(tmp_path)
    assert reused == [False, False]
    for cache, expected in ((tmp_path, [True, True]), (None, [False, False])):
        reused, state = weights(cache)
        assert reused == expected
        assert all(torch.equal(value, state[name]) for name, value in first.items())


def test_a_fit_for_another_goal_shares_alignment_alone(
    fresh: Parts, schema: FeatureSchema, tmp_path: Path
) -> None:
    log = make_log(schema)
    labels = label_goal(log)
    goals = [NextItemGoal(), labels]
    fitted(make_model(*fresh()), log, goals, tmp_path)
    other = [NextItemGoal(), replace(labels, query="Sort:")]
    stages = fitted(make_model(*fresh()), log, other, tmp_path)
    assert [stage.reused for stage in stages] == [True, False]
    stages = fitted(make_model(*fresh()), log, [labels], tmp_path)
    assert [stage.reused for stage in stages] == [True, False]
    stages = fitted(make_model(*fresh()), log, goals, tmp_path, seed=1)
    assert [stage.reused for stage in stages] == [False, False]


def test_facts_of_a_goal_change_with_its_examples(schema: FeatureSchema) -> None:
    goal = label_goal(make_log(schema))
    right = goal.right.copy()
    right[0] = ~right[0]
    facts = {goal_facts(g) for g in (goal, replace(goal, right=right), replace(goal, query="x"))}
    assert len(facts) == 3
    assert goal_facts(label_goal(make_log(schema))) in facts


def test_goals_take_turns_in_proportion() -> None:
    batches = [itertools.count(), itertools.count(), itertools.count()]
    drawn = [portion.goal for portion in itertools.islice(mixed(batches, [6, 3, 1]), 20)]
    assert Counter(drawn) == {0: 12, 1: 6, 2: 2}
    assert Counter(drawn[:10]) == {0: 6, 1: 3, 2: 1}
    assert max(len(list(run)) for _, run in itertools.groupby(drawn)) <= 3


def test_several_goals_have_as_many_steps_as_each_alone(
    encoder: UserEncoder, llm: LanguageModel, schema: FeatureSchema
) -> None:
    model, log = make_model(encoder, llm), make_log(schema)
    feeds = [feed_of(goal, model, log, 0) for goal in goals_of("all", log)]
    assert [feed.steps for feed in feeds[1:]] == [3, 3]  # 24 examples, 8 at a time
    both = together(feeds)
    assert both.steps == sum(feed.steps for feed in feeds)
    targets = sum(feed.steps * feed.targets_per_step for feed in feeds)
    assert both.steps * both.targets_per_step == pytest.approx(targets)


def test_texts_of_held_out_items_are_not_learnt(
    encoder: UserEncoder, llm: LanguageModel, schema: FeatureSchema
) -> None:
    model, log = make_model(encoder, llm, held_out=0.4), make_log(schema)
    goal = text_goal(log)
    marked = [f"text of {item}" for item in log.items[goal.stops]]
    goal = replace(goal, references=marked, longest=64)
    assert model.held_out is not None
    unsaid = {f"text of {item}" for item in model.held_out.nonzero()[:, 0].tolist()}
    assert unsaid & set(marked)
    met = set()
    for batch in itertools.islice(feed_of(goal, model, log, 0).batches, 10):
        for row in batch.said.tolist():
            tokens = [token for token in row if token not in (-1, llm.end_token)]
            met.add(llm.tokenizer.decode(tokens).strip())
    assert met
    assert met == set(marked) - unsaid
