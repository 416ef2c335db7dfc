"""From encoder states to vectors that the language model reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from userllm.fusion import GatedCrossAttention, UserContext
from userllm.nn.attention import Attention


class EventProjector(nn.Module):
    """One vector an event: a norm and a linear map into the language model's width.

    Args:
        width: `D`.
        out_width: `E`.
    """

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.map = nn.Linear(width, out_width)

    def forward(self, states: Tensor, mask: Tensor, distance: Tensor) -> UserContext:
        """Context of states `[B, L, D]`; `mask` and `distance` are `[B, P, L]`."""
        return UserContext(self.map(self.norm(states)), mask, distance)


class Perceiver(nn.Module):
    """A fixed number of latents that read all states (Perceiver, 2021; as Flamingo's resampler).

    Args:
        width: `D`.
        out_width: `E`.
        latents: `Q`.
        depth: Rounds of cross-attention, feed-forward and self-attention.
        heads: Attention heads.
        length: Largest distance with a recency bias of its own.
    """

    def __init__(
        self, width: int, out_width: int, latents: int, depth: int, heads: int, length: int
    ) -> None:
        super().__init__()
        self.input_norm = nn.LayerNorm(width)
        self.input = nn.Linear(width, out_width)
        self.latents = nn.Parameter(torch.empty(latents, out_width).normal_(std=0.5))
        self.rounds = nn.ModuleList(_Round(out_width, heads, length) for _ in range(depth))
        self.norm = nn.LayerNorm(out_width)

    def forward(self, states: Tensor, mask: Tensor, distance: Tensor) -> UserContext:
        """Context with `P * Q` vectors a user, `Q` for each view; arguments as above."""
        users, views, _ = mask.shape
        latents = len(self.latents)
        events = UserContext(self.input(self.input_norm(states)), mask, distance)
        view = torch.arange(views, device=mask.device).repeat_interleave(latents)
        x = self.latents.repeat(views, 1).expand(users, -1, -1)
        own = view.unsqueeze(1) == view.unsqueeze(0)
        for each in self.rounds:
            x = each(x, events, view.expand(users, -1), own)
        mine = torch.arange(views, device=mask.device).unsqueeze(1) == view.unsqueeze(0)
        return UserContext(self.norm(x), mine.expand(users, -1, -1))


class _Round(nn.Module):
    def __init__(self, width: int, heads: int, length: int) -> None:
        super().__init__()
        self.read = GatedCrossAttention(width, heads, length)
        nn.init.ones_(self.read.attention_gate)
        nn.init.ones_(self.read.feed_gate)
        self.norm = nn.LayerNorm(width)
        self.mix = Attention(width, heads)

    def forward(self, latents: Tensor, events: UserContext, view: Tensor, own: Tensor) -> Tensor:
        latents = self.read(latents, events, view)
        return latents + self.mix(self.norm(latents), mask=own)
