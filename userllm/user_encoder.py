"""The autoregressive user encoder: from a history to one state an event."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.schema import ITEM, FeatureSchema
from benchmark.types import HistoryBatch
from userllm.config import TransformerSettings
from userllm.event_encoder import Encoded, EventEncoder
from userllm.nn.blocks import CausalTransformer
from userllm.nn.feature_embedding import FeatureEmbedding


class UserEncoder(EventEncoder):
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
        self.settings = settings
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

    @property
    def item_offset(self) -> Tensor:
        """Bias of each item, `[N + 1]`."""
        return self.item_bias

    def encode(self, histories: HistoryBatch) -> Encoded:
        """See `EventEncoder`; the state of an event stands at the event's place."""
        latest = (histories.lengths - 1).clamp(min=0)
        return Encoded(self(histories), histories.mask, latest)
