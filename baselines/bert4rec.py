"""BERT4Rec: RecBole's module, trained on whole windows with the loss at masked positions alone."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.config import Bert4RecSettings
from baselines.encoders import EncoderBaseline, in_slot, train_once
from baselines.popularity import log_frequency
from baselines.recbole_bridge import build_bert4rec
from baselines.window_stage import windows_of
from benchmark.events import EventLog
from benchmark.protocols import BuiltEncoder, FitContext, TrainingData
from benchmark.schema import ITEM, PADDING
from benchmark.types import HistoryBatch, StageReport
from userllm.encoder.event_encoder import Encoded, EventEncoder
from userllm.nn.loss import catalogue_cross_entropy


@dataclass(frozen=True)
class Masked:
    """Windows with the positions that are to be filled in.

    Attributes:
        windows: `B` windows.
        chosen: `BoolTensor[B, L]`, True = masked.
    """

    windows: HistoryBatch
    chosen: Tensor

    def __len__(self) -> int:
        return len(self.windows)

    def some(self, index: slice) -> Masked:
        """Some rows of the batch."""
        return Masked(self.windows.rows(index), self.chosen[index])


class Bert4RecModel(EventEncoder):
    """RecBole's BERT4Rec with our masking and our loss.

    As a user encoder it reads the history and a mask behind it, whose state predicts the next
    item. Every state knows the whole history, so one pass serves one target.

    Args:
        events: The training events; they say how many items there are.
        settings: Its settings.
    """

    net: Any
    causal = False

    def __init__(self, events: EventLog, settings: Bert4RecSettings) -> None:
        super().__init__()
        size = settings.transformer
        options = {
            "n_layers": size.layers,
            "n_heads": size.heads,
            "hidden_size": size.width,
            "inner_size": 4 * size.width,
            "hidden_dropout_prob": size.dropout,
            "attn_dropout_prob": 0.0,  # the fused kernel knows no dropout on a CPU
        }
        self.settings = settings
        self.schema = events.schema.subset(())
        self.history = settings.fit.history
        self.width = size.width
        # One position more than a history has: the mask that stands for the next item.
        self.net = build_bert4rec(events, settings.fit.history + 1, options)
        _use_fast_gelu(self.net)
        with torch.no_grad():
            # RecBole's 0.02 leaves all logits near zero for the first hundreds of steps.
            self.net.item_embedding.weight.normal_(std=size.width**-0.5)[PADDING] = 0
            # What popularity alone says need not be learnt.
            self.net.output_bias.copy_(log_frequency(events))

    def forward(self, items: Tensor, chosen: Tensor) -> Tensor:
        """States of partly masked item ids, at some positions.

        The same as `self.net(items)[chosen]`, but in the last layer whatever concerns a position
        by itself is computed for the chosen positions alone.

        Args:
            items: `[B, L]`.
            chosen: `[B, L]`, True = give the state of this position.

        Returns:
            `[M, D]`, in the order of `items[chosen]`.
        """
        net = self.net
        x = net.item_embedding(items) + net.position_embedding.weight[: items.shape[1]]
        x = net.dropout(net.LayerNorm(x))
        bias = net.get_attention_mask(items, bidirectional=True)
        *lower, top = net.trm_encoder.layer
        for layer in lower:
            x = layer.feed_forward(_attend(layer.multi_head_attention, x, bias))
        x = top.feed_forward(_attend(top.multi_head_attention, x, bias, chosen))
        return net.output_ln(net.output_gelu(net.output_ffn(x)))

    @property
    def item_table(self) -> Tensor:
        """Item embeddings `[N + 1, D]`, without the mask's."""
        return self.net.item_embedding.weight[: self.schema.num_items + 1]

    @property
    def item_offset(self) -> Tensor:
        """Bias of each item, `[N + 1]`."""
        return self.net.output_bias

    def drawn(self, batch: HistoryBatch) -> Masked:
        """See `userllm.training.dividing.Divisible`."""
        return Masked(batch, self._choose(batch))

    def targets(self, batch: Masked) -> int:
        """See `userllm.training.dividing.Divisible`."""
        return int(batch.chosen.sum())

    def training_loss(self, batch: HistoryBatch | Masked) -> Tensor:
        """Cross-entropy of the masked items over the whole catalogue; scalar."""
        batch = batch if isinstance(batch, Masked) else self.drawn(batch)
        items, chosen = batch.windows.features[ITEM], batch.chosen
        masked = items.masked_fill(chosen, self.net.mask_token)
        return catalogue_cross_entropy(
            self(masked, chosen), self.item_table, items[chosen], bias=self.net.output_bias
        )

    def _choose(self, batch: HistoryBatch) -> Tensor:
        """Which positions `[B, L]` to mask: a random share of the real ones, or the last alone."""
        mask = batch.mask
        last = torch.zeros_like(mask)
        last[torch.arange(len(mask)), batch.lengths - 1] = True
        chosen = (torch.rand(mask.shape, device=mask.device) < self.settings.masked) & mask
        only = torch.rand(len(mask), device=mask.device) < self.settings.last_only
        # A window without a masked item teaches nothing: take its last.
        only |= ~chosen.any(dim=1)
        return torch.where(only[:, None], last, chosen)

    def log_probs(self, histories: HistoryBatch) -> Tensor:
        """See `EventEncoder`: by the state of the mask alone."""
        items, last = self._ask(histories)
        return self.item_log_probs(self(items, last))

    def encode(self, histories: HistoryBatch) -> Encoded:
        """See `EventEncoder`; behind the states of the events stands that of the mask."""
        items, last = self._ask(histories)
        states = self(items, torch.ones_like(last)).view(*items.shape, self.width)
        mask = F.pad(histories.mask, (0, 1)) | last
        return Encoded(states, mask, histories.lengths)

    def embed(self, histories: HistoryBatch) -> Tensor:
        """See `EventEncoder`: the state of the mask alone, which spares those of the events."""
        items, last = self._ask(histories)
        return self(items, last) * (histories.lengths > 0).unsqueeze(1)

    def _ask(self, histories: HistoryBatch) -> tuple[Tensor, Tensor]:
        """Item ids `[B, L + 1]` with a mask behind each history, and where that mask is."""
        items = F.pad(histories.features[ITEM], (0, 1), value=PADDING)
        last = torch.zeros_like(items, dtype=torch.bool)
        last[torch.arange(len(items), device=items.device), histories.lengths] = True
        return items.masked_fill(last, self.net.mask_token), last


def _attend(layer: Any, x: Tensor, bias: Tensor, chosen: Tensor | None = None) -> Tensor:
    """RecBole's `MultiHeadAttention.forward` on the fused kernel, with its weights.

    Args:
        layer: The module whose weights are used.
        x: `[B, L, D]`.
        bias: Added to the attention scores, `[B, 1, 1, L]`.
        chosen: `[B, L]`, True = a position whose result is wanted; None = all.

    Returns:
        `[B, L, D]`, or `[M, D]` with `chosen`.
    """
    query, key, value = (
        part(x).unflatten(-1, (layer.num_attention_heads, -1)).transpose(1, 2)
        for part in (layer.query, layer.key, layer.value)
    )
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    mixed = mixed.transpose(1, 2).flatten(2)
    if chosen is not None:
        mixed, x = mixed[chosen], x[chosen]
    return layer.LayerNorm(layer.out_dropout(layer.dense(mixed)) + x)


def _use_fast_gelu(net: Any) -> None:
    """Swaps GELU in RecBole's layers for its tanh form, several times as cheap on a CPU."""
    net.output_gelu = nn.GELU(approximate="tanh")
    for layer in net.trm_encoder.layer:
        layer.feed_forward.intermediate_act_fn = functools.partial(F.gelu, approximate="tanh")


def build_encoder(
    data: TrainingData, settings: Bert4RecSettings, context: FitContext, pretrained: bool = True
) -> BuiltEncoder:
    """BERT4Rec for the encoder slot; see `benchmark.protocols.EncoderBuilder`."""
    return in_slot(Bert4Rec(settings), data, context, pretrained)


class Bert4Rec(EncoderBaseline[Bert4RecModel]):
    """The method: trained on windows, ranks by the state of a mask put after the history.

    Args:
        settings: Its settings.
    """

    settings: Bert4RecSettings

    def new_model(self, data: TrainingData, seed: int) -> Bert4RecModel:
        """A model with random weights."""
        torch.manual_seed(seed)
        return Bert4RecModel(data.events, self.settings)

    def train(self, data: TrainingData, context: FitContext) -> StageReport:
        """Learns to fill masked events of the windows in; see `EncoderBaseline`."""
        assert self.model is not None
        settings = self.settings
        material = windows_of(
            data.events,
            settings.fit.history + 1,
            settings.fit.batch_size,
            context.seed,
            supervised=settings.masked,
        )
        return train_once("bert4rec", self.model, self, material, data, settings, context)
