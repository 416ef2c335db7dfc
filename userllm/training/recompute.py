"""Gradient checkpointing: activations are computed again in the backward pass, not kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from userllm.llm.language_model import LanguageModel


def checkpoint_activations(llm: LanguageModel, on: bool, blocks: Iterable[nn.Module] = ()) -> None:
    """Switches gradient checkpointing of every decoder layer on or off.

    A layer's input is kept and the rest of it computed again; results and gradients are the same.
    Hooks of a layer run outside it, once, so cross-attention need not be attached any more when
    the backward pass comes. Hugging Face's own switch does nothing in layers that stand in
    evaluation mode, as frozen ones do, though gradients pass through them.

    Args:
        llm: The language model.
        on: Whether to compute again.
        blocks: Modules to treat in the same way, for example those of a cross-attention fusion.
    """
    for module in (*llm.layers(), *blocks):
        vars(module).pop("forward", None)
        if on:
            vars(module)["forward"] = partial(_again, module.forward)


def _again(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A layer's forward, computed again where a gradient is wanted."""
    from transformers import Cache

    # A layer adds to its cache every time it is called.
    cached = any(isinstance(value, Cache) for value in (*args, *kwargs.values()))
    if cached or not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)
