"""Texts that continue rows of tokens, by Hugging Face's own `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from benchmark.goals import Decoding
from userllm.decoding import POSITIONS_AT_ONCE
from userllm.llm.language_model import LanguageModel
from userllm.training.modes import by_options_alone, evaluating


def write(llm: LanguageModel, rows: Sequence[Sequence[int]], decoding: Decoding) -> list[str]:
    """Texts that continue rows of tokens, by Hugging Face's own `generate`.

    Args:
        llm: Writes.
        rows: `B` rows, at least one token each.
        decoding: How.
    """
    texts: list[str] = []
    size = max(1, POSITIONS_AT_ONCE // max(len(row) + decoding.longest for row in rows))
    with torch.random.fork_rng(devices=[llm.device] if llm.device.type == "cuda" else []):
        torch.manual_seed(decoding.seed)
        for begin in range(0, len(rows), size):
            texts += _continued(llm, rows[begin : begin + size], decoding)
    return texts


def _continued(llm: LanguageModel, rows: Sequence[Sequence[int]], decoding: Decoding) -> list[str]:
    width = max(map(len, rows))
    tokens = torch.full((len(rows), width), llm.end_token)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for user, row in enumerate(rows):
        tokens[user, width - len(row) :] = torch.tensor(row)
        mask[user, width - len(row) :] = 1
    options: dict[str, Any] = {"do_sample": False}
    if decoding.sample:
        options = {
            "do_sample": True,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "top_k": 0,
        }
    with by_options_alone(llm), evaluating(llm.model):
        written = llm.model.generate(
            input_ids=tokens.to(llm.device),
            attention_mask=mask.to(llm.device),
            max_new_tokens=decoding.longest,
            eos_token_id=llm.end_token,
            pad_token_id=llm.end_token,
            **options,
        )
    return [
        llm.tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for row in written[:, width:].tolist()
    ]
