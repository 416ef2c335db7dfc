"""A language model without weights, made of its published shape; and what counts its tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmark.errors import UserError
from userllm.llm.counted_attention import register
from userllm.llm.outline import LlmOutline

_CAUSAL = ("CausalLM", "LMHeadModel", "ConditionalGeneration")
"""How classes of causal models are called; the last is that of models that also see images."""


def outline_llm(config: Mapping[str, Any], tokenizer: Any, name: str) -> LlmOutline:
    """The language model of a `config.json`.

    Raises:
        UserError: No causal language model follows from it, or it cannot be counted.
    """
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM

    asked, kind = f"--llm-config {name}", str(config["model_type"])
    if kind not in CONFIG_MAPPING:
        raise UserError(f"{asked}: no model of the kind {kind!r} is known here")
    try:
        values = CONFIG_MAPPING[kind].from_dict(dict(config))
    except Exception as error:  # Configurations check themselves, each in its own way.
        raise UserError(f"{asked}: no {kind} follows from it ({_line(error)})") from error
    named = [str(own) for own in config.get("architectures") or ()]
    known = type(values) in MODEL_FOR_CAUSAL_LM_MAPPING and not values.is_encoder_decoder
    if not known or (named and not any(own.endswith(_CAUSAL) for own in named)):
        raise UserError(f"{asked}: {', '.join(named) or kind} is not a causal language model")
    try:
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(
                values,
                trust_remote_code=False,
                dtype=torch.bfloat16,
                attn_implementation=register(),
            )
    except Exception as error:  # Shapes that do not fit together fail in many ways.
        raise UserError(f"{asked}: no {kind} can be built of it ({_line(error)})") from error
    return LlmOutline(model.eval(), tokenizer, name)


def outline_tokenizer(path: Path) -> Any:
    """A tokenizer of a `tokenizer.json`, or of a folder that holds one; nothing is downloaded.

    Raises:
        UserError: There is none.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not path.exists():
        raise UserError(f"--tokenizer {path}: there is no such file or folder")
    try:
        if path.is_file():
            tokenizer: Any = PreTrainedTokenizerFast(tokenizer_file=str(path))
        else:
            tokenizer = AutoTokenizer.from_pretrained(
                str(path), trust_remote_code=False, local_files_only=True
            )
    except Exception as error:  # Each kind of tokenizer fails in its own way.
        raise UserError(f"--tokenizer {path}: it cannot be loaded ({_line(error)})") from error
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise UserError(f"--tokenizer {path}: it has no vocabulary")
    return tokenizer


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
