from __future__ import annotations

import math
from dataclasses import replace
from itertools import compress
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.data.division import Split
from benchmark.errors import UserError
from benchmark.events import EventLog
from benchmark.schema import ITEM, FeatureSchema, IdMap
from benchmark.texts import Texts
from benchmark.types import Catalog
from tests.tiny_model import TITLES, make_catalog, make_histories
from userllm import stages
from userllm.config import (
    AlignSettings,
    FusionSettings,
    ProjectorSettings,
    TransformerSettings,
    UserLLMSettings,
)
from userllm.decoding.likelihoods import item_likelihood
from userllm.encoder.user_encoder import UserEncoder
from userllm.fitting import Fitting, fit
from userllm.llm.corpus import corpus, held_out_items, item_lines, shuffled_titles
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM
from userllm.muting import muted
from userllm.perplexity import text_scores, with_and_without_user
from userllm.progress import Silent
from userllm.stages import Tuning, alignment_batches

SHARE = 0.3
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
def test_with_and_without_a_user_the_same_text_is_read(
    kind: str, latents: int, encoder: UserEncoder, llm: LanguageModel
) -> None:
    """A user of whom nothing is to be seen, and another query, change nothing."""
    model = make_model(encoder, llm, kind, latents)
    open_gates(model)
    histories = make_histories([6, 1, 2, 3])
    without = text_scores(model, LINES)
    with muted(model):
        unseen = text_scores(model, LINES, histories)
    assert np.array_equal(unseen.tokens, without.tokens)
    assert unseen.nll == pytest.approx(without.nll, rel=1e-5)
    heard = text_scores(model, LINES, histories)
    model.query = torch.tensor(llm.encode("Another:", begin=True))
    assert np.array_equal(text_scores(model, LINES, histories).nll, heard.nll)


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


def test_the_same_titles_are_held_out_whatever_their_order_and_more_with_more() -> None:
    catalog = make_catalog()
    some, more = held_out_items(catalog, 0.3), held_out_items(catalog, 0.8)
    assert some.sum() < more.sum()
    assert (some <= more).all()
    assert not held_out_items(catalog, 0.0).any()
    backwards = replace(catalog, texts=("", *reversed(TITLES)))
    assert np.array_equal(held_out_items(backwards, 0.3)[1:], some[:0:-1])
    named = replace(catalog, items=IdMap(f"other {n}" for n in range(len(TITLES))))
    assert np.array_equal(held_out_items(named, 0.3), some)
    for share in (1e-9, 0.999999):
        with pytest.raises(UserError, match="leaves some on both sides"):
            held_out_items(catalog, share)


def with_twins() -> tuple[Catalog, np.ndarray]:
    """A catalogue of which two items of one title are held out, and these."""
    texts = list(make_catalog().texts)
    texts[3] = texts[9] = "Star Wars"
    catalog = replace(make_catalog(), texts=tuple(texts))
    held_out = held_out_items(catalog, SHARE)
    assert np.flatnonzero(held_out).tolist() == [3, 9]
    return catalog, held_out


def test_no_text_of_a_held_out_item_is_learnt(world_split: Split) -> None:
    data = world_split.train
    held_out = held_out_items(data.catalog, 0.2)
    lines = item_lines(data.catalog, data.events)
    left = set(corpus(data.catalog, data.events, held_out))
    for item in range(1, len(data.catalog) + 1):
        assert (lines[item - 1] in left) != held_out[item]
    if data.events.written:
        texts = zip(data.events.items, data.events.written["text"], strict=True)
        said = {text for item, text in texts if not held_out[item]}
        assert left <= said | set(lines)


def test_held_out_lines_stand_nowhere_in_the_corpus(schema: FeatureSchema) -> None:
    """Neither as a twin's line nor in what somebody wrote of another item."""
    catalog, held_out = with_twins()
    items = np.array([3, 1, 2])
    events = EventLog(
        schema,
        np.array([0, 3]),
        {ITEM: items, "rating": np.ones(3, int)},
        catalog.columns,
        np.arange(3),
        written={"text": Texts.of(["fine", "Star Wars", "like Star Wars"])},
    )
    lines = list(compress(item_lines(catalog, events), held_out[1:]))
    left = corpus(catalog, events, held_out)
    assert lines == ["Star Wars"] * 2
    assert not set(lines) & set(left)
    assert "fine" not in left
    assert "like Star Wars" in left


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_held_out_item_is_no_target(
    share: float, encoder: UserEncoder, llm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(encoder, llm, "cross_attention", 0)
    batch = make_histories([6, 6, 6])
    held_out = torch.zeros(len(TITLES) + 1, dtype=torch.bool)
    held_out[batch.features[ITEM][0, 1]] = True
    seen: list[torch.Tensor] = []

    def watched(model, context, lead, items, kept, prior, *rest):  # type: ignore[no-untyped-def]
        seen.append(items[kept])
        return item_likelihood(model, context, lead, items, kept, prior, *rest)

    monkeypatch.setattr(stages, "item_likelihood", watched)
    tuning = Tuning(model, positions=5, from_encoder=share, held_out=held_out)
    assert math.isfinite(tuning.training_loss(batch).item())
    assert len(seen[0])
    assert not held_out[seen[0]].any()


@pytest.mark.parametrize("loss", ["trie", "token", "item_head"])
@pytest.mark.parametrize("frozen", [False, True])
def test_where_all_targets_are_held_out_nothing_is_learnt(
    loss: str, frozen: bool, encoder: UserEncoder, llm: LanguageModel
) -> None:
    settings = UserLLMSettings(fusion=FusionSettings(heads=2), loss=loss)
    model = UserLLM(encoder, llm, settings, make_catalog())
    encoder.requires_grad_(not frozen)
    held_out = torch.ones(len(TITLES) + 1, dtype=torch.bool)
    value = Tuning(model, positions=5, held_out=held_out).training_loss(make_histories([6, 6]))
    assert value.item() == 0
    value.backward()
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)
    assert any(p.grad is not None for p in model.projector.parameters())


def test_no_stage_says_a_held_out_title(
    encoder: UserEncoder, llm: LanguageModel, schema: FeatureSchema, monkeypatch: Any
) -> None:
    catalog, held_out = with_twins()
    tiny = {
        "fusion": {"heads": 2},
        "held_out": SHARE,
        "recent_as_text": 2,
        "align": {"steps": 12, "batch_size": 3},
        "tune": {"targets": 60, "windows": 3, "looks": 0},
    }
    model = UserLLM(encoder, llm, UserLLMSettings.model_validate(tiny), catalog)
    said: list[torch.Tensor] = []
    leads: list[torch.Tensor] = []

    def watched(model, context, lead, items, kept, prior=None, *rest):  # type: ignore[no-untyped-def]
        said.append(items[kept])
        leads.extend(lead.flatten(0, -2) if lead.ndim > 1 else [lead])
        return item_likelihood(model, context, lead, items, kept, prior, *rest)

    monkeypatch.setattr(stages, "item_likelihood", watched)
    rng = np.random.default_rng(0)
    items = rng.integers(1, len(TITLES) + 1, 60)
    columns = {ITEM: items, "rating": rng.integers(1, 6, 60)}
    log = EventLog(schema, np.arange(0, 61, 10), columns, catalog.columns, np.arange(60))
    fit(model, log, Fitting(0, Silent()))
    assert torch.cat(said).unique().tolist() == np.flatnonzero(~held_out)[1:].tolist()
    texts = [llm.tokenizer.decode(lead[lead >= 0], skip_special_tokens=True) for lead in leads]
    titles = {
        line.partition(" | ")[0].removeprefix("Next: ")
        for text in texts
        for line in text.split("\n")[:-1]
    }
    assert titles == set(catalog.texts[1:]) - {"Star Wars"}


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
