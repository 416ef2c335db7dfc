"""Dual encoder: a user tower and an item tower that meet in a cosine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.config import DualEncoderSettings
from baselines.encoders import EncoderBaseline, in_slot, train_once
from baselines.popularity import log_frequency
from baselines.window_stage import windows_of
from benchmark.errors import unknown
from benchmark.protocols import USER_ENCODER, BuiltEncoder, FitContext, TrainingData
from benchmark.schema import ITEM, FeatureSchema
from benchmark.types import HistoryBatch, StageReport
from userllm.encoder.event_encoder import Encoded, EventEncoder
from userllm.nn.blocks import CausalTransformer, FeedForward
from userllm.nn.feature_embedding import FeatureEmbedding
from userllm.nn.loss import full_precision


@dataclass(frozen=True)
class AgainstOthers:
    """Windows, and the targets of the whole batch that theirs are told from.

    Attributes:
        windows: `B` windows.
        others: `LongTensor[C]` item ids.
    """

    windows: HistoryBatch
    others: Tensor

    def __len__(self) -> int:
        return len(self.windows)

    def some(self, index: slice) -> AgainstOthers:
        """Some windows, against the same others."""
        return AgainstOthers(self.windows.rows(index), self.others)


class DualEncoderModel(EventEncoder):
    """Item tower over id and item features; user tower over the history's item vectors.

    As a user encoder its states are the user tower's, divided by the temperature, and its item
    embeddings the item tower's, so that their inner product is the logit it was trained with.

    Args:
        schema: The item's features that the towers see.
        columns: Item features by internal id, `[N + 1]` or `[N + 1, V]`.
        log_frequency: Log-share of each item among the training targets, `[N + 1]`.
        settings: Its settings.
    """

    catalogue: Tensor
    log_frequency: Tensor

    def __init__(
        self,
        schema: FeatureSchema,
        columns: Mapping[str, np.ndarray],
        log_frequency: Tensor,
        settings: DualEncoderSettings,
    ) -> None:
        super().__init__()
        size = settings.transformer
        self.settings = settings
        self.schema = schema
        self.history = settings.fit.history
        self.width = size.width
        self.embedding = FeatureEmbedding({f.name: f.cardinality for f in schema}, size.width)
        self.item_feed = FeedForward(size.width)
        self.body = CausalTransformer(
            size.width, size.layers, size.heads, size.dropout, settings.fit.history
        )
        self.user_head = nn.Linear(size.width, size.width)
        self.register_buffer("log_frequency", log_frequency)
        everything = {ITEM: np.arange(schema.num_items + 1), **columns}
        for name in schema.names:
            column = torch.from_numpy(np.array(everything[name])).long()
            self.register_buffer(f"column_{name}", column)

    def item_vectors(self, ids: Tensor) -> Tensor:
        """The item tower before its norm: vectors `[M, D]` of item ids `[M]`."""
        features = {name: getattr(self, f"column_{name}")[ids][None] for name in self.schema.names}
        vectors = self.embedding(features)[0]
        return vectors + self.item_feed(vectors)

    def user_states(self, items: Tensor, vectors: Tensor) -> Tensor:
        """The user tower: unit vectors `[B, L, D]`, one after every event.

        Args:
            items: Item ids `[B, L]`.
            vectors: The item tower's `[N + 1, D]`.
        """
        return F.normalize(self.user_head(self.body(F.embedding(items, vectors))), dim=-1)

    def drawn(self, batch: HistoryBatch) -> AgainstOthers:
        """See `userllm.training.dividing.Divisible`."""
        return AgainstOthers(batch, self._others(batch))

    def targets(self, batch: AgainstOthers) -> int:
        """See `userllm.training.dividing.Divisible`."""
        return int(batch.windows.mask[:, 1:].sum())

    def _others(self, batch: HistoryBatch) -> Tensor:
        targets = batch.features[ITEM][:, 1:][batch.mask[:, 1:]]
        return targets[torch.randperm(len(targets))[: self.settings.negatives]]

    def training_loss(self, batch: HistoryBatch | AgainstOthers) -> Tensor:
        """In-batch softmax of every event but the first; scalar."""
        others = batch.others if isinstance(batch, AgainstOthers) else None
        batch = batch.windows if isinstance(batch, AgainstOthers) else batch
        items, real = batch.features[ITEM], batch.mask[:, 1:]
        vectors = self.item_vectors(self.column_item)  # type: ignore[arg-type]
        users = self.user_states(items[:, :-1], vectors)[real]
        targets = items[:, 1:][real]
        others = self._others(batch) if others is None else others  # drawn after dropout
        unit = F.normalize(vectors, dim=-1)
        return in_batch_loss(
            users, targets, others, unit, self.log_frequency, self.settings.temperature
        )

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The item alone: what else it knows of an item stands in its own buffers."""
        return (ITEM,)

    @property
    def item_table(self) -> Tensor:
        """The item tower's unit vectors `[N + 1, D]`, from the weights as they are now."""
        return F.normalize(self.item_vectors(self.column_item), dim=-1)  # type: ignore[arg-type]

    def encode(self, histories: HistoryBatch) -> Encoded:
        """See `EventEncoder`; the state of an event stands at the event's place."""
        vectors = self.item_vectors(self.column_item)  # type: ignore[arg-type]
        users = self.user_states(histories.features[ITEM], vectors)
        latest = (histories.lengths - 1).clamp(min=0)
        return Encoded(users / self.settings.temperature, histories.mask, latest)


def in_batch_loss(
    users: Tensor,
    targets: Tensor,
    others: Tensor,
    items: Tensor,
    log_frequency: Tensor,
    temperature: float,
) -> Tensor:
    """Softmax of each row's target against targets of other rows, popularity taken out.

    Frequent items are met as negatives more often. Taking the logarithm of an item's sampling
    probability off its logit makes the loss estimate the softmax over the whole catalogue
    (Yi et al., RecSys 2019).

    Args:
        users: Unit vectors `[M, D]`.
        targets: Item ids `[M]`.
        others: Item ids `[C]` of rows of the same batch; those equal to a row's target are left
            out of that row.
        items: Unit vectors `[N + 1, D]`.
        log_frequency: `[N + 1]`.
        temperature: Divides the cosines.

    Returns:
        Scalar, in nats.
    """
    users, items = full_precision(users), full_precision(items)
    positive = (users * F.embedding(targets, items)).sum(dim=-1) / temperature
    positive = positive - log_frequency[targets]
    with torch.autocast(users.device.type, enabled=False):
        cosines = users @ F.embedding(others, items).T
    negative = cosines / temperature - log_frequency[others]
    negative = negative.masked_fill(targets[:, None] == others[None, :], -torch.inf)
    return (torch.logsumexp(torch.cat([positive[:, None], negative], 1), 1) - positive).mean()


def build_encoder(
    data: TrainingData, settings: DualEncoderSettings, context: FitContext, pretrained: bool = True
) -> BuiltEncoder:
    """The user tower for the encoder slot; see `benchmark.protocols.EncoderBuilder`."""
    return in_slot(DualEncoder(settings), data, context, pretrained)


class DualEncoder(EncoderBaseline[DualEncoderModel]):
    """The method: trained on windows, ranks by the cosine with the item tower.

    Args:
        settings: Its settings.
    """

    settings: DualEncoderSettings

    def new_model(self, data: TrainingData, seed: int) -> DualEncoderModel:
        """A model with random weights.

        Raises:
            UserError: The settings name what is no feature of an item.
        """
        of_item = [f.name for f in data.schema if f.of_item]
        chosen = of_item if self.settings.features is None else self.settings.features
        for name in chosen:
            if name not in of_item:
                raise unknown("item feature", name, of_item)
        torch.manual_seed(seed)
        schema, columns = data.schema.subset(chosen), data.catalog.columns
        return DualEncoderModel(schema, columns, log_frequency(data.events), self.settings)

    def parts(self) -> Mapping[str, nn.Module]:
        """See `benchmark.protocols.Profiled`: the user tower; candidates have their own."""
        assert self.model is not None, "fit first"
        return {USER_ENCODER: nn.ModuleList([self.model.body, self.model.user_head])}

    def train(self, data: TrainingData, context: FitContext) -> StageReport:
        """Learns to tell every next item from other users' next items; see `EncoderBaseline`."""
        assert self.model is not None
        fit = self.settings.fit
        material = windows_of(data.events, fit.history + 1, fit.batch_size, context.seed)
        return train_once("dual_encoder", self.model, self, material, data, self.settings, context)
