"""Transformer blocks and the causal transformer over events."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from userllm.nn.attention import Attention


class FeedForward(nn.Module):
    """Two linear maps with a GELU between them; `[..., width]` to `[..., width]`."""

    def __init__(self, width: int, factor: int = 4) -> None:
        super().__init__()
        self.up = nn.Linear(width, factor * width)
        self.down = nn.Linear(factor * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps each position by itself."""
        # The tanh form is several times cheaper than erf on a CPU.
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    """Self-attention and feed-forward with the norm before each (pre-norm)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout=dropout)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = FeedForward(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """`[B, L, width]` to `[B, L, width]`; `mask` and `causal` as in `Attention`."""
        x = x + self.dropout(self.attention(self.attention_norm(x), mask=mask, causal=causal))
        return x + self.dropout(self.feed(self.feed_norm(x)))


class CausalTransformer(nn.Module):
    """A transformer whose state at a position depends on that position and earlier ones only.

    Histories are padded on the right, so causality alone keeps padding out of every real state.

    Args:
        width: `D`.
        layers: Number of blocks.
        heads: Attention heads.
        dropout: Dropout share.
        length: Most events of a history (`L`).
    """

    def __init__(self, width: int, layers: int, heads: int, dropout: float, length: int) -> None:
        super().__init__()
        self.length = length
        self.positions = nn.Parameter(torch.empty(length, width).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, events: Tensor) -> Tensor:
        """States `[B, L, D]` of event vectors `[B, L, D]`.

        Raises:
            ValueError: The histories are longer than `length`.
        """
        if events.shape[1] > self.length:
            raise ValueError(f"a history of {events.shape[1]} events; at most {self.length}")
        x = self.dropout(events + self.positions[: events.shape[1]])
        for block in self.blocks:
            x = block(x, causal=True)
        return self.norm(x)
