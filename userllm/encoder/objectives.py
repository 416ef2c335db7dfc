"""Pretraining of the user encoder: predict every feature of the next event."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.schema import ITEM, FeatureKind
from benchmark.types import HistoryBatch
from userllm.encoder.user_encoder import UserEncoder
from userllm.nn.loss import catalogue_cross_entropy, full_precision


@dataclass(frozen=True)
class Shown:
    """Windows, and the items that are shown by text alone.

    Attributes:
        windows: `B` windows of `L + 1` events.
        hidden: `BoolTensor[N + 1]`; None = none.
    """

    windows: HistoryBatch
    hidden: Tensor | None

    def __len__(self) -> int:
        return len(self.windows)

    def some(self, index: slice) -> Shown:
        """Some windows, with the same items."""
        return Shown(self.windows.rows(index), self.hidden)


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

    def drawn(self, batch: HistoryBatch) -> Shown:
        """See `userllm.training.dividing.Divisible`."""
        return Shown(batch, self._hidden())

    def _hidden(self) -> Tensor | None:
        text = self.encoder.text
        return text.hide(self.id_dropout) if text is not None and self.id_dropout else None

    def targets(self, batch: Shown) -> int:
        """See `userllm.training.dividing.Divisible`."""
        return int(batch.windows.mask[:, 1:].sum())

    def training_loss(self, batch: HistoryBatch | Shown) -> Tensor:
        """Loss of windows of `L + 1` events: each event but the first is a target; scalar."""
        batch = batch if isinstance(batch, Shown) else self.drawn(batch)
        return self._summed(self._losses(batch))

    def share_of_loss(self, part: Shown, whole: Shown) -> Tensor:
        """See `userllm.training.dividing.Weighed`: not every event has a value of every feature."""
        own, of_all = self._known(part.windows), self._known(whole.windows)
        losses = self._losses(part)
        return self._summed(
            {n: loss * (own[n] / of_all[n]) for n, loss in losses.items() if own[n]}
        )

    def _losses(self, batch: Shown) -> dict[str, Tensor]:
        windows = batch.windows
        inputs = HistoryBatch(
            {n: v[:, :-1] for n, v in windows.features.items()}, windows.mask[:, :-1]
        )
        table, bias = self.items(batch.hidden)
        states = self.encoder(inputs, None if self.encoder.text is None else table)
        real = windows.mask[:, 1:]
        targets = {n: v[:, 1:][real] for n, v in windows.features.items()}
        return self.feature_losses(states[real], targets, table, bias)

    def _summed(self, losses: dict[str, Tensor]) -> Tensor:
        others = [loss for name, loss in losses.items() if name != ITEM]
        return losses[ITEM] + self.auxiliary * sum(others, losses[ITEM].new_zeros(()))

    @staticmethod
    def _known(windows: HistoryBatch) -> dict[str, int]:
        """How many targets have a value, by feature."""
        real, known = windows.mask[:, 1:], {}
        for name, values in windows.features.items():
            there = values[:, 1:] > 0
            known[name] = int((real & (there if there.ndim == 2 else there.any(dim=2))).sum())
        return known

    def items(self, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Vectors `[N + 1, D]` and biases `[N + 1]` of the items, as one step sees them.

        Args:
            hidden: `BoolTensor[N + 1]`, True = shown by text alone; drawn where it is absent.
        """
        text = self.encoder.text
        if text is None:
            return self.encoder.items()
        table, bias = self.encoder.items(self._hidden() if hidden is None else hidden)
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
