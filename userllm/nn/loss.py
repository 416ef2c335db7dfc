"""Cross-entropy over a large catalogue without holding all logits at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def catalogue_cross_entropy(
    states: Tensor, table: Tensor, targets: Tensor, *, bias: Tensor | None = None, rows: int = 256
) -> Tensor:
    """Mean cross-entropy of inner products with a table, padding (row 0) left out.

    The rows are taken in chunks, and a chunk's gradient is worked out as soon as its softmax is
    known: no logits are kept for the backward pass nor computed again in it, memory stays at
    `rows x N`, and a chunk stays in the processor's cache. Gradients of gradients are not offered.

    Args:
        states: `FloatTensor[M, D]`.
        table: `FloatTensor[N + 1, D]`; row 0 is padding.
        targets: `LongTensor[M]` in 1..N.
        bias: `FloatTensor[N + 1]` or None.
        rows: States a chunk.

    Returns:
        Scalar, in nats.
    """
    offset = None if bias is None else full_precision(bias)
    with torch.autocast(states.device.type, enabled=False):
        return _CatalogueCrossEntropy.apply(  # type: ignore[no-untyped-call]
            full_precision(states), full_precision(table), targets, offset, rows
        )


def full_precision(x: Tensor) -> Tensor:
    """At least 32 bits of what autocast may have computed in 16: losses are sums of many terms."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class _CatalogueCrossEntropy(torch.autograd.Function):
    """Softmax cross-entropy that leaves its gradients behind in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, table: Tensor, targets: Tensor, bias: Tensor | None, rows: int
    ) -> Tensor:
        items, offset = table[1:], None if bias is None else bias[1:]
        d_states, d_table = torch.empty_like(states), torch.zeros_like(table)
        d_bias = None if bias is None else torch.zeros_like(bias)
        total = states.new_zeros(())
        tiny = torch.finfo(states.dtype).tiny
        wanted = any(ctx.needs_input_grad)
        for begin in range(0, len(states), rows):
            part = slice(begin, begin + rows)
            state, target = states[part], targets[part, None] - 1
            logits = state @ items.T
            if offset is not None:
                logits += offset
            shares = logits.softmax(dim=1)
            # A share may underflow; its gradient is right all the same.
            total -= shares.gather(1, target).clamp_min(tiny).log().sum()
            if wanted:
                shares.scatter_add_(1, target, shares.new_full(target.shape, -1.0))
                torch.mm(shares, items, out=d_states[part])
                d_table[1:].addmm_(shares.T, state)
                if d_bias is not None:
                    d_bias[1:] += shares.sum(dim=0)
        count = max(len(states), 1)
        ctx.with_bias = d_bias is not None
        ctx.save_for_backward(*(d / count for d in (d_states, d_table, d_bias) if d is not None))
        return total / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        d_states, d_table, *rest = ctx.saved_tensors
        d_bias = grad * rest[0] if ctx.with_bias else None
        return grad * d_states, grad * d_table, None, d_bias, None


def catalogue_log_probs(states: Tensor, table: Tensor, bias: Tensor | None = None) -> Tensor:
    """Log-probabilities `[B, N + 1]` of the items; column 0 (padding) is minus infinity."""
    with torch.autocast(states.device.type, enabled=False):
        logits = full_precision(states) @ full_precision(table).T
    if bias is not None:
        logits = logits + bias
    padding = torch.zeros_like(logits, dtype=torch.bool)
    padding[:, 0] = True
    return logits.masked_fill(padding, -torch.inf).log_softmax(dim=-1)
