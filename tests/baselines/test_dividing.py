"""Every baseline's loss, divided among processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from baselines.bert4rec import Bert4RecModel
from baselines.config import Bert4RecSettings, DualEncoderSettings, RecBoleSettings, SasRecSettings
from baselines.dual_encoder import DualEncoder
from baselines.pairs import endless_pairs
from baselines.prompt_labels import LabelLikelihood, prompted_labels
from baselines.prompt_rows import PromptRows
from baselines.prompt_texts import TextLessons, TextLikelihood
from baselines.recbole_bridge import _Learner, settings_of
from baselines.sasrec import SasRecModel
from baselines.text_prompt import _TitleLikelihood
from benchmark.data.division import Split
from benchmark.schema import FeatureSchema
from tests.divided import assert_each_row_once, assert_parts_make_the_whole
from tests.tiny_model import TITLES, make_catalog
from tests.userllm.goal_world import label_goal, make_log, text_goal
from userllm.decoding.trie import TitleTrie
from userllm.encoder.windows import endless_windows
from userllm.goals.label_goal import label_trie
from userllm.history_text import HistoryText
from userllm.llm.language_model import LanguageModel

COMMON: dict[str, Any] = {
    "transformer": {"width": 16, "layers": 1, "heads": 2, "dropout": 0.0},
    "fit": {"history": 8, "batch_size": 7, "looks": 0},
}


def learner_of(name: str, split: Split) -> Any:
    torch.manual_seed(0)
    data = split.train
    if name == "sasrec":
        return SasRecModel(len(data.catalog), SasRecSettings.model_validate(COMMON))
    if name == "bert4rec":
        return Bert4RecModel(data.events, Bert4RecSettings.model_validate(COMMON))
    settings = DualEncoderSettings.model_validate({**COMMON, "negatives": 9})
    return DualEncoder(settings).new_model(data, 0)


@pytest.mark.parametrize("name", ["sasrec", "bert4rec", "dual_encoder"])
def test_windows(name: str, world_split: Split) -> None:
    learner = learner_of(name, world_split)
    batches, _ = endless_windows(world_split.train.events, 9, 7, 0, by_events=True)
    batch = next(batches)
    assert_parts_make_the_whole(learner, batch, len(batch) + 2)
    assert_each_row_once(learner, batch, 3)


def test_a_model_of_recbole(world_split: Split) -> None:
    data, settings = world_split.train, RecBoleSettings()
    torch.manual_seed(0)
    options = {"hidden_size": 16, "embedding_size": 16, "dropout_prob": 0.0}
    config = settings_of("GRU4Rec", 8, options, num_items=len(data.catalog))
    assert settings.model
    learner = _Learner(config, data.events)
    batches, _ = endless_pairs(data.events, 8, 7, 0)
    assert_parts_make_the_whole(learner, next(batches), 9)


@pytest.fixture
def text(llm: LanguageModel, schema: FeatureSchema) -> HistoryText:
    titles = [llm.encode(f" {title}") for title in TITLES]
    return HistoryText(make_catalog(), schema, ("rating",), llm, titles, "Next:")


@pytest.mark.parametrize("longest", [None, 40])
def test_packed_titles(
    longest: int | None,
    llm: LanguageModel,
    trie: TitleTrie,
    text: HistoryText,
    schema: FeatureSchema,
) -> None:
    windows, _ = endless_windows(make_log(schema), 5, 7, 0)
    batch = text.packed(next(windows), trie, longest)
    learner = _TitleLikelihood(llm, trie)
    assert_parts_make_the_whole(learner, batch, 9)
    assert_each_row_once(learner, batch, 3)
    assert np.all(np.diff(batch.owners.numpy()) >= 0)


def rows_of(llm: LanguageModel, text: HistoryText, field: str) -> PromptRows:
    return PromptRows(text, llm, items=4, longest=200, behind=20, field=field, review_tokens=8)


def test_prompted_labels(llm: LanguageModel, text: HistoryText, schema: FeatureSchema) -> None:
    log = make_log(schema)
    goal = label_goal(log)
    learner = LabelLikelihood(llm, label_trie(goal.labels, llm), llm.encode(goal.query))
    batch = next(prompted_labels(log, goal, rows_of(llm, text, ""), 7, 0))
    assert_parts_make_the_whole(learner, batch, 9)


def test_prompted_texts(llm: LanguageModel, text: HistoryText, schema: FeatureSchema) -> None:
    log = make_log(schema)
    lessons = TextLessons(
        llm,
        log,
        text_goal(log),
        rows_of(llm, text, "text"),
        batch_size=7,
        together=3,
        seed=0,
    )
    learner, batch = TextLikelihood(llm), next(lessons.batches())
    assert_parts_make_the_whole(learner, batch, len(batch) + 2)
    assert_each_row_once(learner, batch, 3)
