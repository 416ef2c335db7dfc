"""Arithmetic by shapes alone: fvcore follows a module on tensors that hold no numbers.

Conventions are those of `benchmark.cost.running`: products of matrices and attention, a
multiply-add as 2, causal attention as half.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

_IGNORED = (
    "aten::layer_norm", "aten::group_norm", "aten::batch_norm", "aten::instance_norm",
)  # fmt: skip
"""What fvcore counts and we do not: entry by entry, not products."""


def traced_flops(
    module: nn.Module,
    inputs: Sequence[Tensor],
    repeats: Mapping[str, int] | None = None,
    causal: float = 0.5,
) -> float:
    """What one call of a module costs; tensors may be on the device `meta`.

    Args:
        module: In evaluation mode.
        inputs: What it is called with.
        repeats: Modules inside, by name, that stand for so many of the same shape.
        causal: Share of its pairs that causal attention counts; 1 = all.
    """
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(module, tuple(inputs))
    handles: dict[str, Callable[..., float]] = {
        # fvcore has no handle for the first two, and would count the others in another unit.
        "aten::scaled_dot_product_attention": partial(_attention, share=causal),
        "aten::baddbmm": _batched_sum,
        **dict.fromkeys(_IGNORED, _nothing),  # fvcore ignores no operator that it has a handle of
    }
    analysis.set_op_handle(**handles)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis.tracer_warnings("none")
    with torch.no_grad():
        counted = analysis.by_module()
    total = counted[""] + sum((n - 1) * counted[name] for name, n in (repeats or {}).items())
    return 2.0 * float(total)  # fvcore counts a multiply-add as one


def _shape(value: Any) -> list[int]:
    sizes: list[int] = value.type().sizes()
    return sizes


def _attention(inputs: Sequence[Any], outputs: Sequence[Any], share: float) -> float:
    """Multiply-adds of `scaled_dot_product_attention(q, k, v, mask, dropout, is_causal, ...)`."""
    query, key, value = (_shape(own) for own in inputs[:3])
    pairs = math.prod(query[:-1]) * key[-2]
    causal = bool(inputs[5].toIValue())
    return pairs * (query[-1] + value[-1]) * (share if causal else 1.0)


def _nothing(inputs: Sequence[Any], outputs: Sequence[Any]) -> float:
    return 0.0


def _batched_sum(inputs: Sequence[Any], outputs: Sequence[Any]) -> float:
    """Multiply-adds of `baddbmm(sum, first, second)`."""
    first, second = _shape(inputs[1]), _shape(inputs[2])
    return float(math.prod(first) * second[-1])
