"""Attention that is only counted: it sees what causal order and a layer's window leave to see.

On the device `meta` no number is computed, so neither mask nor cache is needed: what a text stands
behind is said beforehand, and the operators that remain have the shapes of what is seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch.nn.functional as F
from torch import Tensor

COUNTED = "userllm_counted"
"""Name of this attention among those of Hugging Face."""


@dataclass(frozen=True)
class Seen:
    """What one layer keeps of a token.

    Attributes:
        numbers: Of key and value.
        window: Tokens it can look back to, itself included; None = all.
        causal: False where tokens see later ones.
    """

    numbers: int
    window: int | None
    causal: bool


@dataclass
class _Reading:
    """A text that is being read behind so many tokens, and what its layers keep of each."""

    behind: int
    layers: list[Seen] = field(default_factory=list)


_READING: ContextVar[_Reading | None] = ContextVar("reading", default=None)


@contextmanager
def reading(behind: int = 0) -> Iterator[list[Seen]]:
    """While this is open, models with this attention read a text behind so many tokens.

    Args:
        behind: Tokens whose keys and values are there already.

    Yields:
        What each layer keeps, in the order in which they attend.
    """
    own = _Reading(behind)
    token = _READING.set(own)
    try:
        yield own.layers
    finally:
        _READING.reset(token)


def register() -> str:
    """Makes this attention known to Hugging Face's models; gives its name.

    It has no mask function, so they make no mask.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(COUNTED, _attend)
    return COUNTED


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *args: Any,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Hugging Face's interface: heads `[1, H, T, d]` to `[1, T, H, d]`."""
    own = _READING.get() or _Reading(0)
    tokens, heads, groups = int(query.shape[2]), int(query.shape[1]), int(key.shape[1])
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    numbers = groups * (int(key.shape[3]) + int(value.shape[3]))
    own.layers.append(Seen(numbers, sliding_window, bool(causal)))
    key, value = (part.repeat_interleave(heads // groups, dim=1) for part in (key, value))

    def whole(asks: Tensor, seen: int) -> Tensor:
        """Attention to tokens, all of which are seen."""
        keys = key.new_empty(1, heads, seen, int(key.shape[3]))
        values = value.new_empty(1, heads, seen, int(value.shape[3]))
        return F.scaled_dot_product_attention(asks, keys, values)

    window = own.behind + tokens if sliding_window is None else sliding_window
    # Tokens that see all before them; the others see as many as the window has.
    first = max(0, min(tokens, window - own.behind))
    parts = []
    if first:
        asks = query[:, :, :first]
        part = F.scaled_dot_product_attention(
            asks, key[:, :, :first], value[:, :, :first], is_causal=True
        )
        if own.behind:
            part = part + whole(asks, own.behind)
        parts.append(part.sum(dim=2))
    if first < tokens:
        parts.append(whole(query[:, :, first:], window).sum(dim=2))
    # Nobody looks at the numbers: each token gets the sum of all, which has the right shape.
    mixed = sum(parts[1:], parts[0]).unsqueeze(1)
    return mixed.expand(-1, tokens, -1, -1), None
