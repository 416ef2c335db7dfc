"""How user vectors enter the language model: gated cross-attention, attached by hooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from userllm.llm.language_model import LanguageModel
from userllm.nn.attention import Attention
from userllm.nn.blocks import FeedForward


@dataclass(frozen=True)
class UserContext:
    """What the language model may read of its users.

    A *view* is a state of knowledge about a user, for example the history up to one position. The
    views of a user share its vectors and differ in which of them they may see.

    Attributes:
        vectors: `FloatTensor[B, S, E]` vectors of each user.
        mask: `BoolTensor[B, P, S]` which of them each view may see.
        distance: `LongTensor[B, P, S]` events between a vector and the view's latest one.
        latents: Vectors of a view, where each has its own (a Perceiver's); 0 = vectors are events,
            which views share.
    """

    vectors: Tensor
    mask: Tensor
    distance: Tensor
    latents: int = 0

    def of(self, users: Tensor) -> UserContext:
        """The context of some users, by index."""
        return UserContext(
            self.vectors[users], self.mask[users], self.distance[users], self.latents
        )

    def hidden(self) -> Tensor:
        """What to mask, `BoolTensor[B, P, S]`: what a view may not see, if it may see anything.

        Softmax over nothing would be NaN; where a view sees nothing, what it reads is left out.
        """
        return ~self.mask & self.mask.any(dim=-1, keepdim=True)


GATE_SPEED = 8.0
"""Factor on the gates: a step of the optimizer moves a gate this much further than a weight.

All that the blocks learn passes through gates that start at zero, so slow gates hold up the rest.
"""


class GatedCrossAttention(nn.Module):
    """Cross-attention and feed-forward behind zero-initialised tanh gates (Flamingo, 2022).

    With its gates at 0 the text passes unchanged, bit for bit. A learned bias by distance from
    the latest event lets a head prefer recent events.

    Args:
        width: Of the text's states; `E` but for models whose layers are wider than their tokens.
        heads: Attention heads.
        length: Largest distance that has a bias of its own; larger ones share the last.
        context_width: Of the context's vectors; `width` where absent.
        feed_forward: Whether a feed-forward follows, with norm and gate of its own.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        length: int,
        context_width: int | None = None,
        feed_forward: bool = True,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.feed_forward = feed_forward
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, context_width=context_width or width)
        self.attention_gate = nn.Parameter(torch.zeros(1))
        if feed_forward:
            self.feed_norm = nn.LayerNorm(width)
            self.feed = FeedForward(width)
            self.feed_gate = nn.Parameter(torch.zeros(1))
        # Heads begin by looking back unequally far, as in ALiBi (Press et al., 2022).
        slopes = 2.0 ** -torch.arange(heads, dtype=torch.float32)
        self.recency = nn.Parameter(-slopes.unsqueeze(1) * torch.arange(length))

    @property
    def gates(self) -> list[nn.Parameter]:
        """The gates, `[1]` each: that of the cross-attention, and of the feed-forward if any."""
        return [self.attention_gate, *([self.feed_gate] if self.feed_forward else [])]

    def forward(self, x: Tensor, context: UserContext, view: Tensor | None = None) -> Tensor:
        """Text after reading its users.

        A view without any event reads nothing, so what it says depends on the text alone.

        Args:
            x: `[R, T, E]`, of `R = n * B` texts: row r belongs to user `r // n`. Of any floating
                type; the block computes in its own and gives back that of `x`.
            context: Of `B` users.
            view: `LongTensor[R, T]` the view each token reads; None = view 0.

        Returns:
            `[R, T, E]`.
        """
        users = len(context.vectors)
        bias, seen = self._bias(context), context.mask.any(dim=2)
        if view is None:
            mask, reads = bias[:, :, :1], seen[:, :1]
        else:
            view = view.reshape(users, -1)
            index = view[:, None, :, None].expand(-1, bias.shape[1], -1, bias.shape[3])
            mask, reads = bias.gather(2, index), seen.gather(1, view)
        y = x.to(self.norm.weight.dtype)
        # A token reads its user, not its neighbours, so texts of one user may stand in one row.
        asks = self.norm(y).reshape(users, -1, x.shape[2])
        read = (self.attention(asks, context.vectors, mask=mask) * reads.unsqueeze(2)).view_as(y)
        y = y + (GATE_SPEED * self.attention_gate).tanh() * read
        if self.feed_forward:
            y = y + (GATE_SPEED * self.feed_gate).tanh() * self.feed(self.feed_norm(y))
        return y.to(x.dtype)

    def _bias(self, context: UserContext) -> Tensor:
        """Additive bias `[B, heads, P, S]`."""
        near = context.distance.clamp(0, self.recency.shape[1] - 1)
        bias = self.recency[:, near].transpose(0, 1)
        return bias.masked_fill(context.hidden().unsqueeze(1), -torch.inf)


class CrossAttentionFusion(nn.Module):
    """Gated cross-attention before every n-th decoder layer of a language model.

    The blocks live here, not in the language model, whose weights and names stay as they are.

    Args:
        llm: The language model to attach to.
        every: Attach before layers 0, n, 2n, ...
        heads: Heads of the cross-attention.
        length: See `GatedCrossAttention`.
        feed_forward: See `GatedCrossAttention`.

    Raises:
        ValueError: `every` exceeds the number of layers.
    """

    def __init__(
        self, llm: LanguageModel, every: int, heads: int, length: int, feed_forward: bool = True
    ) -> None:
        super().__init__()
        layers = len(llm.layers())
        if every > layers:
            raise ValueError(f"every={every}, but the language model has {layers} decoder layers")
        self.places = tuple(range(0, layers, every))
        self.blocks = nn.ModuleList(
            GatedCrossAttention(llm.layer_width, heads, length, llm.width, feed_forward)
            for _ in self.places
        )

    @contextmanager
    def attend(
        self, llm: LanguageModel, context: UserContext, view: Tensor | None = None
    ) -> Iterator[None]:
        """While this is open, the language model reads the context; nothing stays behind.

        Args:
            llm: The model given to the constructor, or one of the same shape.
            context: Of the `B` users whose text the model is about to read. Where it has n times
                as many rows (beams, branches), row r belongs to user `r // n`.
            view: `LongTensor[B, T]` the view each token of that text reads; None = view 0,
                whatever the length of the text.
        """
        layers = llm.layers()
        handles = [
            layers[place].register_forward_pre_hook(_hook(block, context, view), with_kwargs=True)
            for place, block in zip(self.places, self.blocks, strict=True)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _hook(block: nn.Module, context: UserContext, view: Tensor | None) -> Any:
    def read(
        layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (block(args[0], context, view), *args[1:]), kwargs
        states = block(kwargs["hidden_states"], context, view)
        return args, {**kwargs, "hidden_states": states}

    return read
