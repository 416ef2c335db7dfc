"""Labels under the language model: exact, the same in training as in ranking."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.errors import UserError
from benchmark.events import EventLog
from benchmark.goals import LabelGoal
from benchmark.schema import FeatureSchema
from tests.tiny_model import make_catalog, make_histories
from tests.userllm.goal_world import LABELS, label_goal, make_log
from userllm.config import UserLLMSettings
from userllm.encoder.user_encoder import UserEncoder
from userllm.goals.answers import label_lead, label_log_probs, trie_of_labels
from userllm.goals.goal_stages import SayingLabels
from userllm.goals.label_goal import MOST_RIGHT, LabelBatch, label_batches, label_trie
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM

KINDS: list[dict[str, Any]] = [
    {"fusion": {"heads": 2}},
    {"fusion": {"heads": 2, "kind": "soft_prompt"}},
    {"fusion": {"heads": 2}, "projector": {"latents": 2}},
    {"fusion": {"heads": 2, "kind": "soft_prompt"}, "projector": {"latents": 3}},
    {"fusion": {"heads": 2}, "recent_as_text": 2},
    {"fusion": {"heads": 2}, "loss": "item_head"},
    {"fusion": {"heads": 2}, "loss": "token", "decoding": "free"},
]


def make_model(encoder: UserEncoder, llm: LanguageModel, fields: dict[str, Any]) -> UserLLM:
    torch.manual_seed(3)
    model = UserLLM(encoder, llm, UserLLMSettings.model_validate(fields), make_catalog()).eval()
    for name, weight in model.named_parameters():
        if name.endswith("_gate"):  # closed gates would hide the user
            torch.nn.init.constant_(weight, 0.1)
    return model


@pytest.mark.parametrize("fields", KINDS)
def test_training_scores_what_ranking_says(
    fields: dict[str, Any], encoder: UserEncoder, llm: LanguageModel, schema: FeatureSchema
) -> None:
    model, goal = make_model(encoder, llm, fields), label_goal(make_log(schema))
    histories = make_histories([5, 1, 6, 3])
    labels = torch.tensor([[1, 0, 0], [4, 2, 0], [3, 1, 2], [2, 0, 0]])
    log_probs = label_log_probs(model, histories, goal.query, goal.labels)
    assert torch.allclose(log_probs.exp().sum(dim=1), torch.ones(4), atol=1e-5)
    expected = [-log_probs[row, own[own > 0] - 1].mean() for row, own in enumerate(labels)]
    with torch.no_grad():
        loss = SayingLabels(model, goal).training_loss(LabelBatch(histories, labels))
    assert loss == pytest.approx(float(torch.stack(expected).mean()), rel=1e-4)
    # Users differ, or the check above would hold for a model that listens to nobody.
    assert (log_probs[0] - log_probs[1]).abs().max() > 1e-4


def test_a_label_is_the_product_of_its_tokens_choices(
    encoder: UserEncoder, llm: LanguageModel
) -> None:
    model = make_model(encoder, llm, KINDS[0])
    histories = make_histories([4])
    found = label_log_probs(model, histories, "Kind:", LABELS)[0]
    names = [[*llm.encode(f" {label}"), llm.end_token] for label in LABELS]
    context, _ = model.read_histories(histories)
    query = label_lead(model, "Kind:", histories).tolist()
    for label, tokens in enumerate(names):
        total = 0.0
        for place, token in enumerate(tokens):
            options = {n[place] for n in names if n[:place] == tokens[:place]}
            read = torch.tensor([[*query, *tokens[:place]]])
            assert model.fusion is not None
            with model.fusion.attend(llm, context), torch.no_grad():
                state = llm.hidden_states(llm.embed_tokens(read))[:, -1]
            logits = llm.logits(state)[0]
            total += (logits[token] - logits[sorted(options)].logsumexp(0)).item()
        assert found[label] == pytest.approx(total, abs=1e-4)


def test_batching_changes_no_answer(encoder: UserEncoder, llm: LanguageModel) -> None:
    model, histories = make_model(encoder, llm, KINDS[0]), make_histories([5, 1, 6, 3])
    many = label_log_probs(model, histories, "Kind:", LABELS)
    for row in range(4):
        alone = label_log_probs(model, histories.rows(slice(row, row + 1)), "Kind:", LABELS)
        assert torch.allclose(many[row], alone[0], atol=1e-5)


def test_titles_that_cannot_be_said_do_not_matter(encoder: UserEncoder, llm: LanguageModel) -> None:
    model = make_model(encoder, llm, KINDS[0])
    assert model.catalog is not None
    vars(model.catalog)["texts"] = ("</s>",) * len(model.catalog.texts)
    assert label_log_probs(model, make_histories([2]), "Kind:", LABELS).shape == (1, 4)
    with pytest.raises(UserError, match="ends a text"):
        _ = model.titles


def test_the_trie_of_some_labels_is_built_once(encoder: UserEncoder, llm: LanguageModel) -> None:
    model = make_model(encoder, llm, KINDS[0])
    assert trie_of_labels(model, LABELS) is trie_of_labels(model, list(LABELS))
    assert trie_of_labels(model, LABELS[:2]) is not trie_of_labels(model, LABELS)


@pytest.mark.parametrize(("label", "said"), [(" ", "empty name"), ("</s>", "ends a text")])
def test_labels_that_cannot_be_said_are_refused(label: str, said: str, llm: LanguageModel) -> None:
    with pytest.raises(UserError, match=said):
        label_trie(["War", label], llm)


def test_batches_hold_right_labels_alone_and_in_time_all(schema: FeatureSchema) -> None:
    log: EventLog = make_log(schema)
    goal = label_goal(log)
    right = np.ones((len(goal.starts), 7), dtype=bool)
    right[:, 5] = False
    goal = LabelGoal("labels", "Kind:", tuple("abcdefg"), goal.starts, goal.stops, right)
    batches = list(itertools.islice(label_batches(log, goal, 6, 5, seed=0), 20))
    met = torch.cat([batch.labels for batch in batches])
    assert met.shape[1] == MOST_RIGHT
    assert all(len(set(row)) == MOST_RIGHT for row in met.tolist())
    assert set(met.flatten().tolist()) == {1, 2, 3, 4, 5, 7}
    again = list(itertools.islice(label_batches(log, goal, 6, 5, seed=0), 20))
    assert all(torch.equal(a.labels, b.labels) for a, b in zip(batches, again, strict=True))


def test_a_history_ends_before_what_it_is_asked_about(schema: FeatureSchema) -> None:
    log = make_log(schema)
    goal = label_goal(log)
    owner = {tuple(log.items[a:b].tolist()) for a, b in zip(goal.starts, goal.stops, strict=True)}
    batch = next(label_batches(log, goal, 6, 100, seed=1))
    assert {tuple(row) for row in batch.histories.features["item"].tolist()} == owner
    assert torch.equal((batch.labels > 0).sum(1) > 0, torch.ones(len(owner), dtype=torch.bool))
