from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmark.data.splits import Split
from benchmark.errors import UserError
from benchmark.schema import ITEM, IdMap
from tests.tiny_model import TITLES, make_catalog, make_histories
from userllm import stages
from userllm.config import (
    AlignSettings,
    FusionSettings,
    ProjectorSettings,
    TransformerSettings,
    UserLLMSettings,
)
from userllm.corpus import corpus, held_out_items, item_lines, shuffled_titles
from userllm.likelihoods import item_likelihood
from userllm.llm import LanguageModel
from userllm.model import UserLLM
from userllm.muting import muted
from userllm.perplexity import text_scores, with_and_without_user
from userllm.stages import Tuning, alignment_batches
from userllm.user_encoder import UserEncoder

LINES = ["Heat", "Star Wars | drama", "never seen 七", "A"]
FUSIONS = [("cross_attention", 0), ("cross_attention", 3), ("soft_prompt", 0), ("soft_prompt", 3)]


def make_model(
    encoder: UserEncoder, llm: LanguageModel, kind: str, latents: int, prior: bool = False
) -> UserLLM:
    torch.manual_seed(3)
    settings = UserLLMSettings(
        fusion=FusionSettings(kind=kind, heads=2),
        projector=ProjectorSettings(latents=latents),
        encoder_prior=prior,
    )
    return UserLLM(encoder, llm, settings, make_catalog()).eval()


def open_gates(model: UserLLM) -> None:
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("_gate"):
                value.fill_(0.3)


def alone(llm: LanguageModel, line: str) -> float:
    """The likelihood of a line by Hugging Face's own loss."""
    tokens = torch.tensor([llm.encode(f" {line}", begin=True)])
    loss = llm.model(input_ids=tokens, labels=tokens).loss
    return loss.item() * (tokens.shape[1] - 1)


def test_scores_without_a_user_are_the_models_own(encoder: UserEncoder, llm: LanguageModel) -> None:
    scores = text_scores(make_model(encoder, llm, "cross_attention", 0), LINES)
    assert scores.nll == pytest.approx([alone(llm, line) for line in LINES], rel=1e-5)
    assert scores.tokens.tolist() == [len(llm.encode(f" {line}")) for line in LINES]


@pytest.mark.parametrize(("kind", "latents"), FUSIONS)
def test_a_user_changes_a_line_by_itself_alone(
    kind: str, latents: int, encoder: UserEncoder, llm: LanguageModel
) -> None:
    model = make_model(encoder, llm, kind, latents)
    open_gates(model)
    histories = make_histories([6, 1, 0, 3])
    without, both = text_scores(model, LINES), text_scores(model, LINES, histories)
    assert np.array_equal(without.tokens, both.tokens)
    assert np.isfinite(both.nll).all()
    assert (np.abs(without.nll - both.nll)[[0, 1, 3]] > 1e-4).all()
    for row, line in enumerate(LINES):
        one = text_scores(model, [line], histories.rows(slice(row, row + 1)))
        assert one.nll[0] == pytest.approx(both.nll[row], rel=1e-4)


def test_an_untrained_gate_costs_no_language(encoder: UserEncoder, llm: LanguageModel) -> None:
    model = make_model(encoder, llm, "cross_attention", 0)
    histories = make_histories([6, 1, 0, 3])
    assert np.array_equal(text_scores(model, LINES).nll, text_scores(model, LINES, histories).nll)


@pytest.mark.parametrize(("kind", "latents"), FUSIONS)
@pytest.mark.parametrize("prior", [False, True])
def test_a_muted_model_answers_everybody_alike(
    kind: str, latents: int, prior: bool, encoder: UserEncoder, llm: LanguageModel
) -> None:
    model = make_model(encoder, llm, kind, latents, prior)
    open_gates(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    histories = make_histories([6, 1, 0, 3])
    with torch.no_grad():
        heard = model.catalogue_log_probs(model.trie, histories)
        with muted(model):
            deaf = model.catalogue_log_probs(model.trie, histories)
        again = model.catalogue_log_probs(model.trie, histories)
    assert torch.equal(heard, again)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not torch.allclose(heard[0], heard[1], atol=1e-4)
    assert torch.allclose(deaf, deaf[:1].expand_as(deaf), atol=1e-5)
    assert deaf[:, 1:].exp().sum(dim=1).tolist() == pytest.approx([1] * 4, abs=1e-4)
    plain = make_model(encoder, llm, "cross_attention", 0)
    with torch.no_grad():
        own = plain.catalogue_log_probs(plain.trie, histories)
    assert torch.allclose(deaf, own, atol=1e-4)


def test_the_same_items_are_held_out_whatever_their_order_and_more_with_more() -> None:
    catalog = make_catalog()
    some, more = held_out_items(catalog, 0.3), held_out_items(catalog, 0.6)
    assert some.sum() < more.sum()
    assert (some <= more).all()
    assert not held_out_items(catalog, 0.0).any()
    backwards = replace(catalog, items=IdMap(reversed(catalog.items.external_ids)))
    assert np.array_equal(held_out_items(backwards, 0.3)[1:], some[:0:-1])
    for share in (1e-9, 0.999999):
        with pytest.raises(UserError, match="leaves some on both sides"):
            held_out_items(catalog, share)


def test_no_text_of_a_held_out_item_is_learnt(world_split: Split) -> None:
    data = world_split.train
    held_out = held_out_items(data.catalog, 0.2)
    lines = item_lines(data.catalog, data.events)
    left = set(corpus(data.catalog, data.events, held_out))
    for item in range(1, len(data.catalog) + 1):
        assert (lines[item - 1] in left) != held_out[item]
    if data.events.texts:
        texts = zip(data.events.items, data.events.texts, strict=True)
        said = {text for item, text in texts if not held_out[item]}
        assert left <= said | set(lines)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_held_out_item_is_no_target(
    share: float, encoder: UserEncoder, llm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(encoder, llm, "cross_attention", 0)
    batch = make_histories([6, 6, 6])
    held_out = torch.zeros(len(TITLES) + 1, dtype=torch.bool)
    held_out[batch.features[ITEM][0, 1]] = True
    seen: list[torch.Tensor] = []

    def watched(model, context, lead, items, kept, prior):  # type: ignore[no-untyped-def]
        seen.append(items[kept])
        return item_likelihood(model, context, lead, items, kept, prior)

    monkeypatch.setattr(stages, "item_likelihood", watched)
    tuning = Tuning(model, positions=5, from_encoder=share, held_out=held_out)
    assert math.isfinite(tuning.training_loss(batch).item())
    assert len(seen[0])
    assert not held_out[seen[0]].any()


def test_alignment_says_the_items_it_is_given() -> None:
    items = torch.tensor([2, 3, 7, 9])
    batches = alignment_batches(items, 11, 2, AlignSettings(), seed=0)
    said = torch.cat([next(batches), next(batches)])[:, -1]
    assert sorted(said.tolist()) == items.tolist()


def test_shuffled_titles_are_all_there_and_none_in_its_place() -> None:
    catalog = make_catalog()
    names = tuple(f"title {n}" for n in range(len(catalog)))
    catalog = replace(catalog, texts=("", *names))
    mixed = shuffled_titles(catalog, seed=4)
    assert mixed.texts[0] == ""
    assert sorted(mixed.texts) == sorted(catalog.texts)
    assert not any(a == b for a, b in zip(mixed.texts[1:], names, strict=True))
    assert mixed.items is catalog.items
    assert (
        shuffled_titles(catalog, seed=4).texts == mixed.texts != shuffled_titles(catalog, 5).texts
    )


def test_lines_take_users_in_turn(llm: LanguageModel, world_split: Split) -> None:
    events = world_split.train.events
    torch.manual_seed(0)
    size = TransformerSettings(width=16, layers=1, heads=2, dropout=0.0)
    model = make_model(UserEncoder(events.schema, size, 6).eval(), llm, "cross_attention", 0)
    open_gates(model)
    users = int((events.lengths > 0).sum())
    found = with_and_without_user(model, ["Heat"] * (users + 2), events, "after")
    assert set(found) == {"after_without_user", "after_with_user"}
    alike, own = found["after_without_user"].nll, found["after_with_user"].nll
    assert alike == pytest.approx([alike[0]] * len(alike))
    assert own[users:] == pytest.approx(own[:2], rel=1e-4)
    assert own[0] != pytest.approx(own[1], rel=1e-4)
