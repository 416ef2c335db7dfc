"""A language model through our few operations: what they refuse."""

from __future__ import annotations

import pytest
import torch

from benchmark.errors import UserError
from userllm.llm.language_model import LanguageModel


def test_a_token_that_the_model_does_not_know_is_refused(llm: LanguageModel) -> None:
    llm.tokenizer.add_tokens(["<new>"])
    with pytest.raises(UserError, match="resize_token_embeddings"):
        llm.encode("say <new>")


def test_a_memory_needs_mask_and_positions(llm: LanguageModel) -> None:
    vectors = torch.zeros(1, 2, llm.width)
    memory = llm.new_memory(1)
    llm.hidden_states(vectors, memory=memory)  # nothing to be on top of
    assert memory.positions.tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="on top of a memory"):
        llm.hidden_states(vectors, memory=memory)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable")
def test_a_layer_that_forgets_is_noticed(llm: LanguageModel) -> None:
    llm.model.train()
    llm.model.gradient_checkpointing_enable()
    vectors, keep = torch.zeros(1, 2, llm.width), torch.ones(1, 1, 2, 2, dtype=torch.bool)
    with pytest.raises(RuntimeError, match="use eval"):
        llm.hidden_states(vectors, keep, torch.tensor([[0, 1]]), llm.new_memory(1))


def test_scaled_logits_are_the_models_own(llm: LanguageModel) -> None:
    from transformers import CohereConfig, CohereForCausalLM, GraniteConfig, GraniteForCausalLM

    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    for kind, config in (
        (CohereForCausalLM, CohereConfig(vocab_size=9, num_hidden_layers=1, **small)),
        (
            GraniteForCausalLM,
            GraniteConfig(vocab_size=9, num_hidden_layers=1, logits_scaling=4.0, **small),
        ),
    ):
        scaled = LanguageModel(kind(config).eval(), llm.tokenizer, "scaled")
        tokens = torch.tensor([[1, 5, 7]])
        states = scaled.hidden_states(scaled.embed_tokens(tokens))
        logits = scaled.token_logits(states[0], torch.arange(9))
        torch.testing.assert_close(logits, scaled.model(input_ids=tokens).logits[0])
