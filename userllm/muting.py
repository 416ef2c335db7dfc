"""Makes a language model answer as if it had been given no user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from userllm.fusion import GatedCrossAttention, UserContext
from userllm.model import UserLLM


@contextmanager
def muted(model: UserLLM) -> Iterator[None]:
    """While this is open, no user vector reaches the language model, nor does an encoder's prior.

    The gates of cross-attention stand at 0; a soft prompt is there for nobody to see. Items
    written as text before the query stay.
    """
    volume = model.volume
    gates: list[nn.Parameter] = []
    handle = None
    if model.fusion is None:
        handle = model.projector.register_forward_hook(_unseen)
    else:
        for block in model.fusion.blocks:
            assert isinstance(block, GatedCrossAttention)
            gates += block.gates
    values = [gate.detach().clone() for gate in gates]
    try:
        model.volume = None
        with torch.no_grad():
            for gate in gates:
                gate.zero_()
        yield
    finally:
        model.volume = volume
        with torch.no_grad():
            for gate, value in zip(gates, values, strict=True):
                gate.copy_(value)
        if handle is not None:
            handle.remove()


def _unseen(projector: nn.Module, args: tuple[Any, ...], context: UserContext) -> UserContext:
    """One vector a user, which no view may see."""
    mask = torch.zeros_like(context.mask[..., :1])
    return UserContext(context.vectors[:, :1], mask, torch.zeros_like(mask, dtype=torch.long))
