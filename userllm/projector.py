"""From encoder states to vectors that the language model reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from userllm.fusion import UserContext
from userllm.nn.attention import Attention
from userllm.nn.blocks import FeedForward


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

    Each latent begins as the projected states around one place of the history, the latest half of
    them an event each, and the blocks that follow begin as the identity. From random latents,
    which all read the same, alignment learns nothing.

    Args:
        width: `D`.
        out_width: `E`.
        latents: `Q`.
        depth: Rounds of cross-attention, self-attention and feed-forward.
        heads: Attention heads.
        length: Most events of a history (`L`).
    """

    centres: Tensor

    def __init__(
        self, width: int, out_width: int, latents: int, depth: int, heads: int, length: int
    ) -> None:
        super().__init__()
        self.input_norm = nn.LayerNorm(width)
        self.input = nn.Linear(width, out_width)
        self.latents = nn.Parameter(torch.empty(latents, out_width).normal_(std=0.02))
        centres, gaps = _spread(latents, length)
        bias = -2.0 * (torch.arange(length) - centres.unsqueeze(1)).abs() / gaps.unsqueeze(1)
        self.rounds = nn.ModuleList(_Round(out_width, heads, bias) for _ in range(depth))
        first = self.rounds[0]
        assert isinstance(first, _Round)
        nn.init.eye_(first.read.key_value.weight[out_width:])
        nn.init.eye_(first.read.out.weight)
        self.norm = nn.LayerNorm(out_width)
        self.register_buffer("centres", centres.round().long(), persistent=False)

    def forward(self, states: Tensor, mask: Tensor, distance: Tensor) -> UserContext:
        """Context with `P * Q` vectors a user, `Q` for each view; arguments as above.

        The vectors of a view stand in the order of their places in the history, latest last, and
        their distance is that of the place.
        """
        users, views, _ = mask.shape
        latents = len(self.latents)
        events = UserContext(self.input(self.input_norm(states)), mask, distance)
        view = torch.arange(views, device=mask.device).repeat_interleave(latents)
        x = self.latents.repeat(views, 1).expand(users, -1, -1)
        own = view.unsqueeze(1) == view.unsqueeze(0)
        for each in self.rounds:
            x = each(x, events, own)
        mine = torch.arange(views, device=mask.device).unsqueeze(1) == view.unsqueeze(0)
        places = self.centres.repeat(views).expand(users, views, -1)
        return UserContext(self.norm(x), mine.expand(users, -1, -1), places, latents)


def _spread(latents: int, length: int) -> tuple[Tensor, Tensor]:
    """Distances `[Q]` from the latest event at which latents begin, and how far apart they are.

    The latest half of the places has one latent each; the others share the rest of the history.
    """
    near = min(length, latents - latents // 2)
    far = latents - near
    centres = torch.arange(near, dtype=torch.float32)
    gap = max(1.0, (length - near) / far) if far else 1.0
    others = near + gap * (torch.arange(far) + 0.5) - 0.5
    gaps = torch.cat([torch.ones(near), torch.full((far,), gap)])
    return torch.cat([centres, others]).flip(0), gaps.flip(0)


class _Round(nn.Module):
    """Latents read the events, then each other, then think; `bias` `[Q, L]` is by distance."""

    def __init__(self, width: int, heads: int, bias: Tensor) -> None:
        super().__init__()
        self.read_norm = nn.LayerNorm(width)
        self.read = Attention(width, heads, context_width=width)
        self.bias = nn.Parameter(bias.repeat(heads, 1, 1))
        self.mix_norm = nn.LayerNorm(width)
        self.mix = Attention(width, heads)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = FeedForward(width)
        for last in (self.read.out, self.mix.out, self.feed.down):
            nn.init.zeros_(last.weight)
        nn.init.zeros_(self.feed.down.bias)

    def forward(self, latents: Tensor, events: UserContext, own: Tensor) -> Tensor:
        bias, seen = self._bias(events), events.mask.any(dim=2)
        read = self.read(self.read_norm(latents), events.vectors, mask=bias)
        each = latents.shape[1] // seen.shape[1]
        latents = latents + read * seen.repeat_interleave(each, dim=1).unsqueeze(2)
        latents = latents + self.mix(self.mix_norm(latents), mask=own)
        return latents + self.feed(self.feed_norm(latents))

    def _bias(self, events: UserContext) -> Tensor:
        """Additive bias `[B, heads, P * Q, L]`."""
        assert events.distance is not None
        near = events.distance.clamp(0, self.bias.shape[2] - 1)
        bias = self.bias[:, :, near].permute(2, 0, 3, 1, 4)
        bias = bias.masked_fill(events.hidden()[:, None, :, None], -torch.inf)
        return bias.flatten(2, 3)
