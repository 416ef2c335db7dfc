"""Pretraining of the user encoder: predict every feature of the next event."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.schema import ITEM, FeatureKind
from benchmark.types import HistoryBatch
from userllm.nn.loss import catalogue_cross_entropy, full_precision
from userllm.user_encoder import UserEncoder


class NextEventObjective(nn.Module):
    """One reconstruction loss a feature, each from a projection back into that feature's space.

    The item by cross-entropy over the catalogue against the tied table; categories by
    cross-entropy; of a multi-valued feature every value counts alike (cross-entropy against the
    uniform distribution over the event's values); of a number the bucket, with targets smoothed
    over its neighbours, so that a near miss costs less than a far one (soft labels for ordinal
    regression, Diaz and Marathe, CVPR 2019). Unknown values (0) carry no loss.

    An encoder that reads items' text learns to do without ids: every step draws items that it shows
    by text alone, in histories and among what is ranked. Items that training has not met are left
    out of the softmax over the catalogue, which would only teach that they never come.

    Args:
        encoder: The encoder to train.
        auxiliary: Weight of each loss other than the item's.
        id_dropout: Share of the items shown by text alone, where the encoder reads it.
    """

    def __init__(self, encoder: UserEncoder, auxiliary: float, id_dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.auxiliary = auxiliary
        self.id_dropout = id_dropout
        self.heads = nn.ModuleDict(
            {
                f.name: nn.Linear(encoder.width, f.cardinality)
                for f in encoder.schema
                if f.name != ITEM and auxiliary > 0
            }
        )

    def training_loss(self, batch: HistoryBatch) -> Tensor:
        """Loss of windows of `L + 1` events: each event but the first is a target; scalar."""
        inputs = HistoryBatch({n: v[:, :-1] for n, v in batch.features.items()}, batch.mask[:, :-1])
        table, bias = self.items()
        states = self.encoder(inputs, None if self.encoder.text is None else table)
        real = batch.mask[:, 1:]
        targets = {n: v[:, 1:][real] for n, v in batch.features.items()}
        losses = self.feature_losses(states[real], targets, table, bias)
        others = [loss for name, loss in losses.items() if name != ITEM]
        return losses[ITEM] + self.auxiliary * sum(others, states.new_zeros(()))

    def items(self) -> tuple[Tensor, Tensor]:
        """Vectors `[N + 1, D]` and biases `[N + 1]` of the items, as one step sees them."""
        text = self.encoder.text
        if text is None:
            return self.encoder.items()
        table, bias = self.encoder.items(text.hide(self.id_dropout) if self.id_dropout else None)
        return table, bias.masked_fill(~text.met, -torch.inf)

    def feature_losses(
        self,
        states: Tensor,
        targets: dict[str, Tensor],
        table: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Mean loss of each feature, in nats.

        Args:
            states: `[M, D]`.
            targets: The next event's features, `[M]` or `[M, V]`.
            table: Of `items`, which is asked where it is absent.
            bias: Of `items`.
        """
        if table is None:
            table, bias = self.items()
        losses = {ITEM: catalogue_cross_entropy(states, table, targets[ITEM], bias=bias)}
        for name, head in self.heads.items():
            kind = self.encoder.schema[name].kind
            logits, values = full_precision(head(states)), targets[name]
            if kind is FeatureKind.MULTI:
                losses[name] = _several(logits, values)
            elif not (values > 0).any():
                continue
            elif kind is FeatureKind.NUMBER:
                losses[name] = _ordered(logits[values > 0], values[values > 0])
            else:
                losses[name] = F.cross_entropy(logits, values - 1, ignore_index=-1)
        return losses


def _several(logits: Tensor, values: Tensor) -> Tensor:
    """Cross-entropy of `[M, n]` logits against the uniform mixture over values `[M, V]`."""
    real = (values > 0).to(logits.dtype)
    log_probs = F.log_softmax(logits, dim=-1).gather(1, (values - 1).clamp(min=0))
    count = real.sum(dim=1)
    each = -(log_probs * real).sum(dim=1) / count.clamp(min=1)
    known = count > 0
    return each[known].mean() if known.any() else torch.zeros((), device=logits.device)


def _ordered(logits: Tensor, values: Tensor) -> Tensor:
    """Cross-entropy of `[M, n]` logits against buckets `[M]`, each spread over its neighbours.

    A bucket's share falls with the square of its distance: a Gaussian of variance 1/2 buckets.
    """
    buckets = torch.arange(1, logits.shape[1] + 1, device=logits.device)
    distance = (values.unsqueeze(1) - buckets).to(logits.dtype)
    return F.cross_entropy(logits, (-(distance**2)).softmax(dim=1))
