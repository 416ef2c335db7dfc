"""SASRec: a causal transformer over item ids, with full cross-entropy at every position."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.config import SasRecSettings
from baselines.encoders import EncoderBaseline, train_once
from baselines.window_stage import windows_of
from benchmark.protocols import FitContext, TrainingData
from benchmark.schema import ITEM, PADDING, Feature, FeatureKind, FeatureSchema
from benchmark.types import HistoryBatch, StageReport
from userllm.encoder.event_encoder import Encoded, EventEncoder
from userllm.nn.blocks import CausalTransformer
from userllm.nn.loss import catalogue_cross_entropy


class SasRecModel(EventEncoder):
    """Item table, causal transformer, and the same table again for the scores.

    Args:
        num_items: `N`.
        settings: Its settings.
    """

    def __init__(self, num_items: int, settings: SasRecSettings) -> None:
        super().__init__()
        size = settings.transformer
        self.schema = FeatureSchema((Feature(ITEM, FeatureKind.ID, num_items),))
        self.history = settings.fit.history
        self.width = size.width
        self.items = nn.Embedding(num_items + 1, size.width, padding_idx=PADDING)
        nn.init.normal_(self.items.weight, std=size.width**-0.5)
        with torch.no_grad():
            self.items.weight[PADDING].zero_()
        self.body = CausalTransformer(
            size.width, size.layers, size.heads, size.dropout, settings.fit.history
        )

    def forward(self, items: Tensor) -> Tensor:
        """States `[B, L, D]` of item ids `[B, L]`."""
        return self.body(self.items(items))

    @property
    def item_table(self) -> Tensor:
        """Item embeddings `[N + 1, D]`; row 0 is padding."""
        return self.items.weight

    def encode(self, histories: HistoryBatch) -> Encoded:
        """See `EventEncoder`; the state of an event stands at the event's place."""
        last = (histories.lengths - 1).clamp(min=0)
        return Encoded(self(histories.features[ITEM]), histories.mask, last)

    def training_loss(self, batch: HistoryBatch) -> Tensor:
        """Cross-entropy of every event but the first, over the whole catalogue; scalar."""
        items, real = batch.features[ITEM], batch.mask[:, 1:]
        states = self(items[:, :-1])
        return catalogue_cross_entropy(states[real], self.items.weight, items[:, 1:][real])

    def drawn(self, batch: HistoryBatch) -> HistoryBatch:
        """See `userllm.training.dividing.Divisible`."""
        return batch

    def targets(self, batch: HistoryBatch) -> int:
        """See `userllm.training.dividing.Divisible`."""
        return int(batch.mask[:, 1:].sum())


class SasRec(EncoderBaseline[SasRecModel]):
    """The method: trained on windows, ranks by the state of the latest event.

    Args:
        settings: Its settings.
    """

    settings: SasRecSettings

    def new_model(self, data: TrainingData, seed: int) -> SasRecModel:
        """A model with random weights."""
        torch.manual_seed(seed)
        return SasRecModel(len(data.catalog), self.settings)

    def train(self, data: TrainingData, context: FitContext) -> StageReport:
        """Learns to predict every next item of the training events; see `EncoderBaseline`."""
        assert self.model is not None
        fit = self.settings.fit
        material = windows_of(data.events, fit.history + 1, fit.batch_size, context.seed)
        return train_once("sasrec", self.model, self, material, data, self.settings, context)
