"""Gates, strategies, adapters and vocabularies, in every family."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.tiny_model import make_histories
from tests.userllm.families.checkpoints import FAMILIES, load
from tests.userllm.families.users import attached, context_of
from userllm.generation import generate
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM
from userllm.trainable import STRATEGIES, apply_strategy
from userllm.training.recompute import checkpoint_activations

TOKENS = torch.tensor([[5, 9, 30, 7, 77], [8, 44, 21, 40, 6]])


def test_gate_zero_is_the_plain_model_bit_for_bit(family_llm: LanguageModel) -> None:
    plain = family_llm.model(input_ids=TOKENS).logits
    for gates, same in ((0.0, True), (0.3, False)):
        model = attached(family_llm, "cross_attention", gates=gates)
        assert model.fusion is not None
        with model.fusion.attend(family_llm, context_of(model, [3, 6])):
            read = family_llm.model(input_ids=TOKENS).logits
        assert torch.equal(read, plain) is same
    assert torch.equal(family_llm.model(input_ids=TOKENS).logits, plain)


def loss_of(model: UserLLM) -> Tensor:
    """Plain cross-entropy of some tokens with users attached, and of the encoder's own states."""
    context, encoded = model.read_histories(make_histories([3, 6]))
    llm, vectors = model.llm, model.llm.embed_tokens(TOKENS)
    if model.fusion is None:
        length = context.vectors.shape[1]
        mask = torch.cat([context.mask[:, 0], torch.ones_like(TOKENS, dtype=torch.bool)], dim=1)
        states = llm.hidden_states(torch.cat([context.vectors, vectors], dim=1), mask)[:, length:]
    else:
        with model.fusion.attend(llm, context):
            states = llm.hidden_states(vectors)
    logits = llm.token_logits(states[:, :-1].flatten(0, 1), torch.arange(255))
    loss = torch.nn.functional.cross_entropy(logits, TOKENS[:, 1:].flatten())
    return loss - model.encoder.item_log_probs(encoded.at_latest())[:, 1].mean()


def promised(strategy: str, name: str) -> bool:
    """Whether a strategy trains a parameter of this name."""
    if "lora_" in name:
        return True
    if name.startswith("llm."):
        return strategy == "full"
    return strategy != "proj" or not name.startswith("encoder.")


@pytest.mark.parametrize("kind", ["cross_attention", "soft_prompt"])
@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_a_strategy_trains_what_it_promises_and_nothing_else(
    family_llm: LanguageModel, strategy: str, kind: str
) -> None:
    model = attached(family_llm, kind)
    apply_strategy(strategy, family_llm, model.encoder, model.bridge(), rank=2)
    names = [name for name, _ in model.named_parameters()]
    assert any("lora_" in name for name in names) is (strategy == "lora")
    for name, weight in model.named_parameters():
        assert weight.requires_grad is promised(strategy, name), name
        if "lora_B" in name:  # Zero at first, which hides the other matrix from the loss.
            torch.nn.init.normal_(weight, std=0.1)
    before = {name: copy.deepcopy(weight.detach()) for name, weight in model.named_parameters()}
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    loss_of(model).backward()
    torch.optim.AdamW(trained, lr=1e-2).step()
    for name, weight in model.named_parameters():
        if promised(strategy, name):
            assert weight.grad is not None, name
            assert weight.grad.any(), name
            assert not torch.equal(weight, before[name]), name
        else:
            assert weight.grad is None, name
            assert torch.equal(weight, before[name]), name


def test_lora_is_in_every_layer_and_neither_in_embeddings_nor_head(
    family_llm: LanguageModel,
) -> None:
    plain = family_llm.model(input_ids=TOKENS).logits
    apply_strategy("lora", family_llm, torch.nn.Identity(), [], rank=2)
    torch.testing.assert_close(family_llm.model(input_ids=TOKENS).logits, plain)
    for layer in family_llm.layers():
        assert any("lora_A" in name for name, _ in layer.named_parameters())
    for module in (
        family_llm.model.get_input_embeddings(),
        family_llm.model.get_output_embeddings(),
    ):
        assert not any(weight.requires_grad for weight in module.parameters())


def test_gradient_checkpointing_changes_no_gradient(family_llm: LanguageModel) -> None:
    model = attached(family_llm, "cross_attention")
    assert model.fusion is not None
    grads = []
    for checkpointing in (False, True):
        checkpoint_activations(family_llm, checkpointing, model.fusion.blocks)
        model.zero_grad()
        loss_of(model).backward()
        grads.append({name: weight.grad for name, weight in model.named_parameters()})
    for name, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name], grad, msg=name)


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("tied", [True, False])
def test_embeddings_may_be_tied_or_not_and_the_vocabulary_resized(
    family: str, tied: bool, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    llm = load(checkpoints[family])
    if llm.model.config.tie_word_embeddings and not tied:
        head = llm.model.get_output_embeddings()
        head.weight = torch.nn.Parameter(head.weight.detach() * 0.7)
    llm.model.config.tie_word_embeddings = tied
    if tied:
        llm.model.tie_weights()
    llm.tokenizer.add_tokens(["<said>"])
    llm.model.resize_token_embeddings(len(llm.tokenizer) + 3, mean_resizing=False)
    llm.model.save_pretrained(tmp_path)
    llm.tokenizer.save_pretrained(tmp_path)
    again = load(tmp_path)
    weights = [
        again.model.get_input_embeddings().weight,
        again.model.get_output_embeddings().weight,
    ]
    assert (weights[0].data_ptr() == weights[1].data_ptr()) is tied
    text = again.encode(" Star<said> Wars")
    assert len(again.tokenizer) - 1 in text
    logits = again.model(input_ids=torch.tensor([text])).logits[0]
    assert logits.shape[1] == len(again.tokenizer) + 3
    states = again.hidden_states(again.embed_tokens(torch.tensor([text])))[0]
    torch.testing.assert_close(again.token_logits(states, torch.arange(logits.shape[1])), logits)
    model = attached(again, "soft_prompt")
    assert len(generate(model, context_of(model, [2]), [" Star<said>"], max_new_tokens=4)) == 1
