"""Outlines over the tiny world, and the real models that they are outlines of."""

from __future__ import annotations

from typing import Any

import torch

from benchmark.cost.traced import traced_flops
from benchmark.outlines import Outline, OutlineRequest, Question
from benchmark.protocols import TrainingData
from userllm.llm.corpus import corpus
from userllm.llm.embedded import train_tokenizer
from userllm.llm.from_shape import outline_llm
from userllm.llm.language_model import LanguageModel
from userllm.llm.outline import LlmOutline

WIDTH = 96


def real_llm(data: TrainingData, **changes: Any) -> LanguageModel:
    """A small Llama whose tokenizer knows the data's text."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = train_tokenizer(corpus(data.catalog, data.events), 400)
    settings = {
        "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 4096, **changes,
    }  # fmt: skip
    torch.manual_seed(0)
    return LanguageModel(LlamaForCausalLM(LlamaConfig(**settings)).eval(), tokenizer, "small")


def outline_of(llm: LanguageModel) -> LlmOutline:
    """The outline of a real language model."""
    return outline_llm(llm.model.config.to_dict(), llm.tokenizer, llm.identity)


def request(data: TrainingData, settings: Any, llm: LlmOutline, **given: Any) -> OutlineRequest:
    """What an outline of a method is made from."""
    return OutlineRequest(data, settings, given.pop("encoder", None), llm, **given)


def flops(outline: Outline, question: Question) -> dict[str, float]:
    """Arithmetic of each part."""
    return {
        part: sum(own.times * traced_flops(own.module, own.inputs, own.repeats) for own in works)
        for part, works in outline.works(question).items()
    }
