"""Multi-head attention on the fused kernel."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention of queries over a context (the queries themselves by default).

    Args:
        width: Width of the queries and of the result.
        heads: Number of heads; divides `width`.
        context_width: Width of the context, `width` where absent.
        dropout: Dropout on the attention weights.

    Raises:
        ValueError: `heads` does not divide `width`.
    """

    def __init__(
        self, width: int, heads: int, *, context_width: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}")
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(context_width or width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """Attends.

        Args:
            x: `[B, T, width]`.
            context: `[B, L, context_width]`; `x` where absent.
            mask: Broadcastable to `[B, heads, T, L]`: bool with True = keep, or a float bias.
            causal: Position t sees positions up to t only (without `mask`).

        Returns:
            `[B, T, width]`.
        """
        query = self._split(self.query(x))
        key, value = self.key_value(x if context is None else context).chunk(2, dim=-1)
        mixed = F.scaled_dot_product_attention(
            query,
            self._split(key),
            self._split(value),
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
