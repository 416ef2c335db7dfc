"""Everything works where the model is: on a device that will not compute with the processor's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback
from torch import Tensor, nn

from baselines.text_prompt import TextPrompt, _TitleLikelihood
from baselines.text_prompt_config import TextPromptSettings
from benchmark.types import Candidates, Progress, Ranking, StageReport
from tests.pretend_device import DEVICE, There, move, pretended
from tests.tiny_model import LENGTH, TITLES, make_catalog, make_histories
from tests.userllm.own_rows import HISTORIES as HISTORY_ROWS
from tests.userllm.own_rows import tiny_user_llm
from userllm.config import OptimizerSettings, UserLLMSettings
from userllm.decoding import ranking
from userllm.decoding.trie import TitleTrie
from userllm.encoder.user_encoder import UserEncoder
from userllm.encoder_method import EncoderRanker
from userllm.history_text import HistoryText
from userllm.llm.corpus import item_title_tokens
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM
from userllm.stages import Alignment, Tuning
from userllm.training.engines import make_trainer
from userllm.training.loop import Stage, training_device

HISTORIES = make_histories([6, 3, 0, 1])
SETTINGS: list[dict[str, Any]] = [
    {},
    {"decoding": "top_k"},
    {"decoding": "beam"},
    {"decoding": "free"},
    {"fusion": {"kind": "soft_prompt"}},
    {"projector": {"latents": 3}},
    {"recent_as_text": 2},
    {"loss": "item_head"},
]


def candidates() -> Candidates:
    exclude = torch.zeros(len(HISTORIES), len(TITLES) + 1, dtype=torch.bool)
    exclude[0, 2:5] = True
    return Candidates(len(TITLES), exclude)


@pytest.fixture
def make(encoder: UserEncoder, llm: LanguageModel) -> Callable[..., UserLLM]:
    def make(**fields: Any) -> UserLLM:
        torch.manual_seed(3)
        settings = UserLLMSettings.model_validate(fields)
        parts = copy.deepcopy(encoder), copy.deepcopy(llm)
        model = UserLLM(*parts, settings, make_catalog()).eval()
        with torch.no_grad():  # gates and volumes that start at zero would hide the user
            for weight in model.parameters():
                weight.add_(0.05)
        return model

    return make


def check_alike(found: Ranking, expected: Ranking) -> None:
    assert not isinstance(found.ids, There)
    assert not isinstance(found.scores, There)
    assert torch.equal(found.ids, expected.ids)
    torch.testing.assert_close(found.scores, expected.scores)


@torch.no_grad()
@pytest.mark.parametrize("fields", SETTINGS, ids=str)
def test_ranking(make: Callable[..., UserLLM], fields: dict[str, Any]) -> None:
    # Inference mode knows no tensors of Python's; without it everything is the same.
    rank = ranking.rank_at_once.__wrapped__
    here = rank(make(**fields), HISTORIES, candidates(), 5)
    with pretended():
        model = move(make(**fields))
        there = rank(model, HISTORIES, candidates(), 5)
    assert model.trie.device == DEVICE
    check_alike(there, here)


@torch.no_grad()
def test_ranking_by_the_encoder(encoder: UserEncoder) -> None:
    rank = EncoderRanker.rank.__wrapped__
    here = rank(EncoderRanker(encoder), HISTORIES, candidates(), 5)
    with pretended():
        there = rank(EncoderRanker(move(encoder)), HISTORIES, candidates(), 5)
    check_alike(there, here)


def test_what_is_built_or_read_is_where_the_language_model_is(
    llm: LanguageModel, tmp_path: Path
) -> None:
    settings = {"strategy": "enc", "encoder_prior": True}
    tiny_user_llm(copy.deepcopy(llm), **settings).save_pretrained(tmp_path, llm_weights=False)
    with pretended() as device:
        built = tiny_user_llm(move(copy.deepcopy(llm)), **settings)
        read = UserLLM.from_pretrained(tmp_path, llm=move(copy.deepcopy(llm)).model)
    for model in (built, read):
        assert {own.device for own in model.state_dict().values()} == {device}
        assert model.query.device == device


def test_a_fit_stays_where_the_model_is(llm: LanguageModel, monkeypatch: Any) -> None:
    places = []

    def look(learner: nn.Module, stage: Stage, progress: Progress) -> StageReport:
        places.append((stage.name, stage.accelerator))
        return StageReport(stage.name, 0.0, 0, 0.0, 0, "budget", ())

    monkeypatch.setattr("userllm.encoder.pretraining.run_stage", look)
    monkeypatch.setattr("userllm.training.kept_stages.run_stage", look)
    with pretended() as device:
        tiny_user_llm(move(copy.deepcopy(llm)), strategy="enc").fit(HISTORY_ROWS)
    assert places == [(name, str(device)) for name in ("encoder", "align", "tune")]
    del places[:]
    tiny_user_llm(copy.deepcopy(llm), strategy="enc").fit(HISTORY_ROWS)
    assert {accelerator for _, accelerator in places} == {"cpu"}


def test_a_certain_device_is_trained_on(monkeypatch: Any) -> None:
    made: dict[str, Any] = {}
    monkeypatch.setattr("lightning.Trainer", lambda **options: made.update(options))
    stage = Stage("tune", iter(()), 1, 1.0, 1.0, OptimizerSettings(), accelerator="cuda:1")
    make_trainer(stage, Callback(), steps=1, precision="32-true", sharded=False)
    assert (made["accelerator"], made["devices"]) == ("cuda", [1])
    assert training_device("cuda:1") == torch.device("cuda", 1)


def text_prompt(llm: LanguageModel, trie: TitleTrie, encoder: UserEncoder) -> TextPrompt:
    method = TextPrompt(TextPromptSettings())
    catalog, titles = make_catalog(), item_title_tokens(make_catalog(), llm)
    method._llm, method._trie = llm, trie
    method._text = HistoryText(catalog, encoder.schema, ("rating",), llm, titles, "next:")
    method._rows = method._prompt_rows(behind=10)
    return method


@torch.no_grad()
def test_ranking_by_the_text_prompt(
    llm: LanguageModel, trie: TitleTrie, encoder: UserEncoder
) -> None:
    rank = TextPrompt.rank.__wrapped__
    here = rank(text_prompt(llm, trie, encoder), HISTORIES, candidates(), 5)
    with pretended():
        there = rank(text_prompt(move(llm), trie, encoder), HISTORIES, candidates(), 5)
    check_alike(there, here)


def check_training(learner: nn.Module, batch: Any, expected: Tensor) -> None:
    with pretended() as device:
        loss = move(learner).training_loss(batch.to(device))
        loss.backward()
    assert loss.device == device
    torch.testing.assert_close(loss.detach().cpu(), expected)
    grads = [w.grad for w in learner.parameters() if w.grad is not None]
    assert grads
    assert all(grad.device == device for grad in grads)


@pytest.mark.parametrize(
    "fields",
    [f for f in SETTINGS if "decoding" not in f] + [{"loss": "token"}, {"held_out": 0.3}],
    ids=str,
)
def test_tuning(make: Callable[..., UserLLM], fields: dict[str, Any]) -> None:
    windows, losses = make_histories([LENGTH, LENGTH - 1, 3]), []
    held_out = torch.zeros(len(TITLES) + 1, dtype=torch.bool)
    held_out[3] = "held_out" in fields
    for _ in range(2):
        learner = Tuning(make(**fields), LENGTH, held_out=held_out)
        torch.manual_seed(0)
        losses.append(learner.training_loss(windows).detach())
    torch.testing.assert_close(*losses)  # all positions are picked, so nothing is left to chance
    check_training(Tuning(make(**fields), LENGTH, held_out=held_out), windows, losses[0])


def test_alignment(make: Callable[..., UserLLM]) -> None:
    shown = torch.tensor([[1, 4], [3, 2]])
    expected = Alignment(make(), 0.0).training_loss(shown).detach()
    check_training(Alignment(make(), 0.0), shown, expected)


def test_training_of_the_text_prompt(
    llm: LanguageModel, trie: TitleTrie, encoder: UserEncoder
) -> None:
    batch = text_prompt(llm, trie, encoder)._text.packed(make_histories([6, 3, 2]), trie)
    expected = _TitleLikelihood(llm, trie).training_loss(batch).detach()
    check_training(_TitleLikelihood(llm, trie), batch, expected)


def test_a_trie_is_copied_once_for_a_device(trie: TitleTrie) -> None:
    with pretended() as device:
        with torch.inference_mode(False):
            there = trie.to(device)
        assert there.to(device) is there is trie.to(device)
        assert there.to(torch.device("cpu")) is trie is trie.to(trie.device)
        for name, value in vars(trie).items():
            if isinstance(value, Tensor):
                assert getattr(there, name).device == device
                assert torch.equal(getattr(there, name).cpu(), value)
        assert torch.equal(there.branch.cpu(), trie.branch)


def test_the_device_does_not_compute_with_the_processors_tensors() -> None:
    with pretended() as device:
        there, here = torch.arange(3, device=device), torch.arange(3)
        assert torch.equal((there + 1 + torch.tensor(1)).cpu(), here + 2)
        assert there[here].tolist() == [0, 1, 2]  # the one thing that a GPU allows
        for wrong in (lambda: there + here, lambda: here[there], lambda: here.gather(0, there)):
            with pytest.raises(RuntimeError, match="on the processor"):
                wrong()
