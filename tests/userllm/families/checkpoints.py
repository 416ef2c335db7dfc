"""A tiny random checkpoint of each family of causal models, saved as a user would find it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.tiny_model import TITLES
from userllm.llm.embedded import train_tokenizer
from userllm.llm.language_model import LanguageModel
from userllm.llm.loading import load_language_model

WINDOW = 4
"""Window of the families that have one, in tokens: shorter than what the tests pack."""

_COMMON = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16}
_LLAMA = {**_COMMON, "num_key_value_heads": 1, "intermediate_size": 24, "rms_norm_eps": 1e-5}
_HEADS = {**_LLAMA, "head_dim": 8}
_MIXED = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": WINDOW}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 128}),
    "opt": ("OPT", {**_COMMON, "ffn_dim": 24, "word_embed_proj_dim": 16}),
    "opt_projected": (
        "OPT",
        {**_COMMON, "ffn_dim": 24, "word_embed_proj_dim": 12, "do_layer_norm_before": False},
    ),
    "pythia": ("GPTNeoX", {**_COMMON, "intermediate_size": 24, "tie_word_embeddings": False}),
    "llama": ("Llama", {**_LLAMA, "tie_word_embeddings": False}),
    "smollm": ("Llama", {**_LLAMA, "tie_word_embeddings": True, "num_hidden_layers": 3}),
    "smollm3": ("SmolLM3", {**_LLAMA, "no_rope_layers": [1, 0]}),
    "mistral": ("Mistral", {**_HEADS, "sliding_window": WINDOW}),
    "qwen2": ("Qwen2", {**_LLAMA, "tie_word_embeddings": True}),
    "qwen2_window": ("Qwen2", {**_LLAMA, **_MIXED, "use_sliding_window": True}),
    "qwen3": ("Qwen3", _HEADS),
    "gemma2": (
        "Gemma2",
        {**_HEADS, **_MIXED, "query_pre_attn_scalar": 8, "final_logit_softcapping": 3.0},
    ),
    "gemma3": ("Gemma3Text", {**_HEADS, **_MIXED, "query_pre_attn_scalar": 8}),
    "phi3": ("Phi3", {**_LLAMA, "sliding_window": WINDOW}),
}
"""Class prefix of each family in transformers, and a tiny configuration."""

WINDOWED = ["mistral", "qwen2_window", "gemma2", "gemma3", "phi3"]


def save_checkpoint(family: str, folder: Path, *, pad_token: bool = True) -> Path:
    """Writes weights and tokenizer of a family with random weights, far from each other.

    Args:
        family: A key of `FAMILIES`.
        folder: Where to.
        pad_token: Whether the tokenizer has one.
    """
    import transformers

    prefix, settings = FAMILIES[family]
    tokenizer = train_tokenizer(TITLES, 300)
    config = getattr(transformers, f"{prefix}Config")(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **{"max_position_embeddings": 128, **settings},
    )
    causal = prefix.replace("Text", "") + ("LMHeadModel" if family == "gpt2" else "ForCausalLM")
    torch.manual_seed(len(family))
    model = getattr(transformers, causal)(config)
    with torch.no_grad():  # Fresh weights are so small that every token looks alike.
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.15)
    if not pad_token:
        tokenizer.pad_token = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def load(folder: Path) -> LanguageModel:
    """The language model there, by path, ready to read."""
    llm = load_language_model(str(folder))
    llm.model.eval()
    return llm
