"""Attention masks as Hugging Face's models take them: any tree of tokens, windows by position."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmark.errors import UserError


def counted_positions(mask: Tensor) -> Tensor:
    """Positions `[B, T]` of tokens, from a mask `[B, T]` or a causal one `[B, 1, T, T]`."""
    if mask.ndim == 4:
        return torch.arange(mask.shape[2], device=mask.device).expand(len(mask), -1)
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def pairwise(mask: Tensor) -> Tensor:
    """A mask `[B, 1, T, S + T]`, from `[B, T]` by adding that nothing sees what comes later."""
    if mask.ndim == 4:
        return mask
    length = mask.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    return causal & mask[:, None, None, :].bool()


def layer_windows(config: Any) -> dict[str, int | None]:
    """Window in tokens (None = all) of each kind of layer; empty where no layer has one.

    Args:
        config: Of a text model.

    Raises:
        UserError: There are layers of a kind that no mask is known for: they hand a state from
            token to token, or have windows that the configuration says in another way.
    """
    kinds = set(getattr(config, "layer_types", None) or ())
    unknown = kinds - {"full_attention", "sliding_attention"}
    unknown |= {"local"} & set(getattr(config, "attention_layers", None) or ())
    if unknown:
        raise UserError(f"{config.model_type} has layers of an unsupported kind: {min(unknown)}")
    window = getattr(config, "sliding_window", None)
    if window is None:
        return {}
    if not kinds:
        return {"": window}
    if "sliding_attention" not in kinds:
        return {}
    return {kind: window if kind == "sliding_attention" else None for kind in kinds}


def additive_masks(
    keep: Tensor,
    positions: Tensor,
    read: Tensor,
    windows: dict[str, int | None],
    dtype: torch.dtype,
) -> Any:
    """Float masks `[B, 1, T, S + T]`: one, or a dict by kind of layer where there are several.

    Args:
        keep: `BoolTensor[B, 1, T, S + T]`.
        positions: `LongTensor[B, T]` of the tokens that read.
        read: `LongTensor[B, S + T]` of the tokens that are read.
        windows: From `layer_windows`. A token of a tree stands `window` or more positions, not
            columns, before the one that no longer sees it.
        dtype: Of the result.
    """
    if not windows:
        return _additive(keep, dtype)
    distance = (positions.unsqueeze(2) - read.unsqueeze(1)).unsqueeze(1)
    masks = {
        kind: _additive(keep if window is None else keep & (distance < window), dtype)
        for kind, window in windows.items()
    }
    return masks.get("", masks)


def _additive(keep: Tensor, dtype: torch.dtype) -> Tensor:
    # Eager attention adds the mask to its scores, so a boolean one would mean nothing.
    return torch.zeros_like(keep, dtype=dtype).masked_fill(~keep, torch.finfo(dtype).min)
