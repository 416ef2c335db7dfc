"""USER-LLM: a user encoder, a projector and a fusion around a causal language model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.types import HistoryBatch
from userllm.config import UserLLMSettings
from userllm.decoding import (
    Layout,
    Prefix,
    Prior,
    branch_states,
    catalogue_layout,
    catalogue_log_probs,
    title_layout,
    title_log_probs,
)
from userllm.fusion import GATE_SPEED, CrossAttentionFusion, UserContext
from userllm.llm import LanguageModel
from userllm.projector import EventProjector, Perceiver
from userllm.trie import TitleTrie
from userllm.user_encoder import UserEncoder

LONGEST_QUERY_TOKENS = 32


class UserLLM(nn.Module):
    """A language model that reads user vectors and a fixed query, whatever the history's length.

    Args:
        encoder: The user encoder.
        llm: The language model.
        settings: Projector, fusion and query.

    Raises:
        ValueError: The query has more than 32 tokens, or none.
    """

    def __init__(self, encoder: UserEncoder, llm: LanguageModel, settings: UserLLMSettings) -> None:
        super().__init__()
        self.encoder = encoder
        self.llm = llm
        width, length = encoder.width, encoder.history
        heads, projector = settings.fusion.heads, settings.projector
        self.projector: EventProjector | Perceiver
        if projector.latents:
            self.projector = Perceiver(
                width, llm.width, projector.latents, projector.depth, heads, length
            )
        else:
            self.projector = EventProjector(width, llm.width)
        self.fusion: CrossAttentionFusion | None = None
        if settings.fusion.kind == "cross_attention":
            self.fusion = CrossAttentionFusion(llm, settings.fusion.every, heads, length)
        query = llm.encode(settings.query, begin=True)
        if not 0 < len(query) <= LONGEST_QUERY_TOKENS:
            raise ValueError(
                f"the query has {len(query)} tokens; 1 to {LONGEST_QUERY_TOKENS} are allowed"
            )
        # At zero the trie says what the encoder says; the language model has to earn its share.
        self.volume = nn.Parameter(torch.zeros(())) if settings.encoder_prior else None
        self.register_buffer("query", torch.tensor(query), persistent=False)
        self.query: Tensor

    def bridge(self) -> list[nn.Module]:
        """Projector and fusion: what stands between encoder and language model."""
        return [self.projector, *([self.fusion] if self.fusion is not None else [])]

    def context(self, states: Tensor, mask: Tensor, positions: Tensor) -> UserContext:
        """What the language model may read of each user's history up to some positions.

        Args:
            states: Encoder states `[B, L, D]`.
            mask: `BoolTensor[B, L]`, True = real event.
            positions: `LongTensor[B, P]` the latest event each view sees.
        """
        places = torch.arange(states.shape[1], device=states.device)
        distance = positions.unsqueeze(2) - places
        context: UserContext = self.projector(states, (distance >= 0) & mask.unsqueeze(1), distance)
        return context

    def prior(self, trie: TitleTrie, states: Tensor) -> Prior | None:
        """The encoder's own distribution after states `[V, D]`, where the settings ask for it."""
        if self.volume is None:
            return None
        mass = trie.edge_log_mass(self.encoder.item_log_probs(states))
        return Prior(mass, GATE_SPEED * self.volume)

    def title_log_probs(
        self,
        trie: TitleTrie,
        context: UserContext,
        items: Tensor,
        kept: Tensor,
        prior: Prior | None = None,
    ) -> Tensor:
        """Log-probability `[B, P]` of one item for each view, differentiable.

        Args:
            trie: The catalogue.
            context: `B` users with `P` views each.
            items: `LongTensor[B, P]`.
            kept: `BoolTensor[B, P]`; where False the result means nothing.
            prior: From `prior`, for `B * P` views.
        """
        layout, choices = title_layout(trie, self.query, items, kept)
        states = self._read(context, layout)
        return title_log_probs(self.llm, trie, states, choices, items, prior)

    def catalogue_log_probs(self, trie: TitleTrie, histories: HistoryBatch) -> Tensor:
        """Exact log-probability `[B, N + 1]` of every item as the next one."""
        encoded = self.encoder(histories)
        last = (histories.lengths - 1).clamp(min=0)
        context = self.context(encoded, histories.mask, last.unsqueeze(1))
        prior = self.prior(trie, encoded[torch.arange(len(last)), last])
        layout = catalogue_layout(trie, self.query, len(last))
        states = self._read(context, layout)
        return catalogue_log_probs(self.llm, trie, states, len(self.query), prior)

    def _read(self, context: UserContext, layout: Layout) -> Tensor:
        if self.fusion is None:
            return branch_states(self.llm, layout, _soft_prompt(context))
        with self.fusion.attend(self.llm, context, layout.view):
            return branch_states(self.llm, layout)


def _soft_prompt(context: UserContext) -> Prefix:
    """User vectors as a prefix: each sees the ones before it that some view of its sees too."""
    length = context.vectors.shape[1]
    places = torch.arange(length, device=context.mask.device)
    causal = places.unsqueeze(1) >= places.unsqueeze(0)
    if context.distance is not None:
        keep, positions = causal.expand(len(context.mask), -1, -1), places
    else:
        # Latents of one view know nothing of another's; each view counts its own from zero.
        together = (context.mask.unsqueeze(3) & context.mask.unsqueeze(2)).any(dim=1)
        keep, positions = together & causal, places % int(context.mask[0, 0].sum())
    return Prefix(context.vectors, keep, context.mask, positions.expand(len(context.mask), -1))
