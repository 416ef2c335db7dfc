"""Counts the positions and the arithmetic of what a language model is asked, by closed forms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass
class Work:
    """What was done while a meter ran.

    Attributes:
        positions: Positions that went through the model, padding included.
        passes: Forward passes.
        flops: Multiply-add = 2. Of every position, padding included: the matrices of each layer
            and of the fusion, attention to what it sees, and the logits asked for.
    """

    positions: int = 0
    passes: int = 0
    flops: float = 0.0


@contextmanager
def metered(llm: Any, fusion: Any = None) -> Iterator[Work]:
    """Counts while open.

    Args:
        llm: A `LanguageModel` of `userllm.llm` whose layers are made of `torch.nn.Linear`.
        fusion: A `userllm.fusion.CrossAttentionFusion`, if any.
    """
    work = Work()
    config = llm.model.config.get_text_config()
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    attention_width = head * config.num_attention_heads * len(llm.layers())
    read, all_logits, some_logits = llm.hidden_states, llm.token_logits, llm.paired_logits

    def hidden_states(vectors: Tensor, mask: Tensor | None, *rest: Any) -> Tensor:
        work.passes += 1
        rows, length = vectors.shape[:2]
        work.positions += rows * length
        # Without a mask each position sees those up to it.
        seen = rows * length * (length + 1) // 2 if mask is None else int(mask.sum())
        # Scores and their weighted sum: two products a pair of positions.
        work.flops += 4 * attention_width * seen
        return read(vectors, mask, *rest)

    def token_logits(states: Tensor, tokens: Tensor) -> Tensor:
        work.flops += 2 * states.numel() * len(tokens)
        return all_logits(states, tokens)

    def paired_logits(states: Tensor, tokens: Tensor) -> Tensor:
        work.flops += 2 * states.numel()
        return some_logits(states, tokens)

    def linear(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        work.flops += 2 * module.in_features * output.numel()

    def cross_attention(block: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, context = inputs[:2]
        seen = int(context.mask[:, 0].sum()) * (x.shape[0] * x.shape[1] // len(context.mask))
        work.flops += 4 * block.attention.query.out_features * seen

    parts = [*llm.layers(), *([] if fusion is None else [fusion])]
    handles = [
        module.register_forward_hook(linear)
        for part in parts
        for module in part.modules()
        if isinstance(module, nn.Linear)
    ]
    for block in [] if fusion is None else fusion.blocks:
        handles.append(block.register_forward_hook(cross_attention))
    llm.hidden_states, llm.token_logits = hidden_states, token_logits
    llm.paired_logits = paired_logits
    try:
        yield work
    finally:
        for name in ("hidden_states", "token_logits", "paired_logits"):
            delattr(llm, name)
        for handle in handles:
            handle.remove()
