"""The autoregressive user encoder: from a history to one state an event."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.schema import ITEM, FeatureSchema
from benchmark.types import HistoryBatch
from userllm.config import TransformerSettings, UserEncoderSettings
from userllm.encoder.event_encoder import Encoded, EventEncoder
from userllm.nn.blocks import CausalTransformer
from userllm.nn.feature_embedding import FeatureEmbedding
from userllm.nn.text_table import TextTable


class UserEncoder(EventEncoder):
    """A causal transformer over multi-feature events.

    The state of an event predicts the next one; the item's logits are inner products with the
    item's own embedding table (tied), so that states and item embeddings share a space.

    Where it knows items by their text too, an item's embedding is the sum of its id's row and of
    its projected text, wherever the item stands: in a history, and in what is ranked. An item that
    training has not met has no id's row, and its text alone speaks for it.

    Args:
        schema: The features it reads; a batch may carry more.
        settings: Size.
        history: Most events of a history (`L`).
        text_width: Width of the frozen vectors of items' text; 0 = it knows none.
    """

    text: TextTable | None

    def __init__(
        self,
        schema: FeatureSchema,
        settings: TransformerSettings,
        history: int,
        text_width: int = 0,
    ) -> None:
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
        self.text = None
        if text_width:
            self.text = TextTable(schema.num_items, text_width, settings.width)

    @classmethod
    def planned(
        cls, schema: FeatureSchema, settings: UserEncoderSettings, text: Tensor | None = None
    ) -> UserEncoder:
        """An encoder as its settings say, with random weights.

        Args:
            schema: The features there are.
            settings: Size and features.
            text: Frozen vectors of items' text `[N + 1, E]`, where the settings ask for them.

        Raises:
            UserError: The settings name a feature that the schema does not have.
            ValueError: Vectors are lacking, or nobody asked for them.
        """
        if settings.item_text != (text is not None):
            raise ValueError("vectors of items' text belong to item_text=true, and to nothing else")
        width = 0 if text is None else text.shape[1]
        read = features_read(schema, settings)
        encoder = cls(read, settings.transformer, settings.fit.history, width)
        if encoder.text is not None and text is not None:
            encoder.text.vectors.copy_(text)
        return encoder

    def meet(self, items: np.ndarray) -> None:
        """Learns which items there will be training events of, where it reads text.

        The random rows of ids that training never reaches say nothing, so they become zero.

        Args:
            items: Item ids, in any order and number; those met before stay known.
        """
        if self.text is None:
            return
        self.text.met[torch.from_numpy(np.unique(items)).to(self.text.met.device)] = True
        with torch.no_grad():
            self.embedding.weight(ITEM)[~self.text.met] = 0

    def items(self, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What stands for the items: their vectors `[N + 1, D]` and biases `[N + 1]`.

        Args:
            hidden: `BoolTensor[N + 1]`, True = known by text alone, where there is text.
        """
        ids = self.embedding.weight(ITEM)
        if self.text is None:
            return ids, self.item_bias
        # Their rows are zero, but a gradient that is zero but for rounding would set them moving.
        silent = self.text.unmet if hidden is None else hidden | self.text.unmet
        bias = self.item_bias.masked_fill(silent, 0)
        return ids.masked_fill(silent.unsqueeze(1), 0) + self.text(), bias

    @property
    def item_table(self) -> Tensor:
        """Item embeddings `[N + 1, D]`; row 0 is padding."""
        return self.items()[0]

    def forward(self, histories: HistoryBatch, table: Tensor | None = None) -> Tensor:
        """States `[B, L, D]`; the state of an event knows that event and earlier ones only.

        Args:
            histories: What is read.
            table: Item embeddings from `items`; None = as they are.
        """
        if table is None and self.text is not None:
            table = self.item_table
        tables = None if table is None else {ITEM: table}
        return self.body(self.embedding(histories.features, tables))

    @property
    def item_offset(self) -> Tensor:
        """Bias of each item, `[N + 1]`."""
        if self.text is None:
            return self.item_bias
        return self.item_bias.masked_fill(self.text.unmet, 0)

    def encode(self, histories: HistoryBatch) -> Encoded:
        """See `EventEncoder`; the state of an event stands at the event's place."""
        latest = (histories.lengths - 1).clamp(min=0)
        return Encoded(self(histories), histories.mask, latest)


def features_read(schema: FeatureSchema, settings: UserEncoderSettings) -> FeatureSchema:
    """The features that an encoder with these settings reads.

    Raises:
        UserError: The settings name a feature that the schema does not have.
    """
    return schema.given if settings.features is None else schema.subset(settings.features)
