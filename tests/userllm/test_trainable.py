from __future__ import annotations

import copy

import pytest
import torch

from tests.tiny_model import make_catalog, make_histories
from userllm.config import UserLLMSettings
from userllm.decoding.trie import TitleTrie
from userllm.encoder.user_encoder import UserEncoder
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM
from userllm.stages import Tuning
from userllm.trainable import STRATEGIES, apply_strategy, trained_parameters, with_lora

TRAINS = {
    "full": {"encoder", "llm", "bridge"},
    "lora": {"encoder", "lora", "bridge"},
    "enc": {"encoder", "bridge"},
    "proj": {"bridge"},
}


def part(name: str) -> str:
    if "lora" in name:
        return "lora"
    head = name.split(".")[0]
    return head if head in ("encoder", "llm") else "bridge"


def test_every_strategy_is_described() -> None:
    assert set(STRATEGIES) == set(TRAINS)


@pytest.mark.parametrize("strategy", list(TRAINS))
def test_exactly_the_promised_parameters_move(
    strategy: str, encoder: UserEncoder, llm: LanguageModel, trie: TitleTrie
) -> None:
    settings = UserLLMSettings.model_validate({"fusion": {"heads": 2}, "strategy": strategy})
    model = UserLLM(encoder, llm, settings, make_catalog()).train()
    apply_strategy(strategy, llm, encoder, model.bridge(), rank=2)
    for name, weight in model.named_parameters():
        if "gate" in name:
            torch.nn.init.constant_(weight, 0.5)
    before = {name: copy.deepcopy(weight.detach()) for name, weight in model.named_parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    assert trained_parameters(model) == sum(p.numel() for p in trained)
    optimizer = torch.optim.SGD(trained, lr=0.5)
    learner = Tuning(model, positions=3)
    for _ in range(2):  # LoRA's first matrix only moves once its second has left zero.
        optimizer.zero_grad()
        learner.training_loss(make_histories([6, 5])).backward()
        optimizer.step()
    moved = {
        part(name)
        for name, weight in model.named_parameters()
        if not torch.equal(before[name], weight)
    }
    assert moved == TRAINS[strategy]
    for name, weight in model.named_parameters():
        if part(name) not in TRAINS[strategy]:
            assert not weight.requires_grad, name


def test_lora_starts_as_the_model_it_adapts(
    encoder: UserEncoder, llm: LanguageModel, trie: TitleTrie
) -> None:
    tokens = torch.tensor([[4, 8, 15]])
    plain = llm.model(input_ids=tokens).logits
    apply_strategy("lora", llm, encoder, [], rank=2)
    torch.testing.assert_close(llm.model(input_ids=tokens).logits, plain)


def test_lora_a_second_time_goes_on_with_the_same_matrices(llm: LanguageModel) -> None:
    model = with_lora(llm.model, 2)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.ones_(weight)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    again = with_lora(model, 2)
    assert list(again.state_dict()) == list(before)
    assert all(torch.equal(weight, before[name]) for name, weight in again.state_dict().items())
    assert all(w.requires_grad == ("lora" in n) for n, w in again.named_parameters())
