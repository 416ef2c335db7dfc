"""The autoregressive user encoder: from a history to one state an event."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.schema import ITEM, FeatureSchema
from benchmark.types import HistoryBatch
from userllm.config import TransformerSettings
from userllm.nn.blocks import CausalTransformer
from userllm.nn.feature_embedding import FeatureEmbedding
from userllm.nn.loss import catalogue_log_probs


class UserEncoder(nn.Module):
    """A causal transformer over multi-feature events.

    The state of an event predicts the next one; the item's logits are inner products with the
    item's own embedding table (tied), so that states and item embeddings share a space.

    Args:
        schema: The features it reads; a batch may carry more.
        settings: Size.
        history: Most events of a history (`L`).
    """

    def __init__(self, schema: FeatureSchema, settings: TransformerSettings, history: int) -> None:
        super().__init__()
        self.schema = schema
        self.history = history
        self.width = settings.width
        self.embedding = FeatureEmbedding({f.name: f.cardinality for f in schema}, settings.width)
        self.body = CausalTransformer(
            settings.width, settings.layers, settings.heads, settings.dropout, history
        )
        self.item_bias = nn.Parameter(torch.zeros(schema.num_items + 1))

    @property
    def item_table(self) -> Tensor:
        """Item embeddings `[N + 1, D]`; row 0 is padding."""
        return self.embedding.weight(ITEM)

    def forward(self, histories: HistoryBatch) -> Tensor:
        """States `[B, L, D]`; the state of an event knows that event and earlier ones only."""
        return self.body(self.embedding(histories.features))

    def embed(self, histories: HistoryBatch) -> Tensor:
        """The state after each user's latest event, `[B, D]`; zero for an empty history."""
        states = self(histories)
        last = (histories.lengths - 1).clamp(min=0)
        latest = states[torch.arange(len(states)), last]
        return latest * (histories.lengths > 0).unsqueeze(1)

    def item_log_probs(self, states: Tensor) -> Tensor:
        """Log-probabilities `[B, N + 1]` of the next item after states `[B, D]`."""
        return catalogue_log_probs(states, self.item_table, self.item_bias)
