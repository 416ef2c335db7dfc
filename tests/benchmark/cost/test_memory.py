"""Bytes that tensors take while an answer is made."""

from __future__ import annotations

import torch
from torch import nn

from benchmark.cost.memory import KeptBytes, answer_memory_bytes

KILOBYTE = 256  # numbers of 32 bits


def test_the_peak_is_what_is_there_at_a_time() -> None:
    def ask() -> None:
        first = torch.zeros(2 * KILOBYTE)
        second = torch.ones(3 * KILOBYTE)
        del first
        third = torch.ones(KILOBYTE)
        del second, third

    with torch.no_grad():
        assert answer_memory_bytes(ask) == 5 * 1024


def test_what_was_there_before_and_views_of_it_count_nothing() -> None:
    weight = torch.ones(64, KILOBYTE)
    with torch.no_grad():
        assert answer_memory_bytes(lambda: weight.view(-1)[1:].t()) == 0
        assert answer_memory_bytes(lambda: weight.sum(dim=1)) == 64 * 4


def test_keys_and_values_of_the_first_call_are_measured() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    kept = KeptBytes()
    with torch.no_grad(), kept.watching(model.base_model):
        out = model(input_ids=torch.ones(1, 7, dtype=torch.long), use_cache=True)
        model(input_ids=torch.ones(1, 1, dtype=torch.long), past_key_values=out.past_key_values)
    assert (
        kept.last == 2 * 3 * 2 * 4 * 7 * 4
    )  # keys and values, layers, heads, width, tokens, bytes


def test_without_a_language_model_nothing_is_kept() -> None:
    kept = KeptBytes()
    with kept.watching(None):
        nn.Linear(2, 2)(torch.ones(2))
    assert kept.last is None
