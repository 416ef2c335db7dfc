"""What stands in the encoder slot: anything that turns a history into states of events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.schema import FeatureSchema
from benchmark.types import HistoryBatch
from userllm.nn.loss import catalogue_log_probs


@dataclass(frozen=True)
class Encoded:
    """Histories as states.

    Attributes:
        states: `FloatTensor[B, S, D]`.
        mask: `BoolTensor[B, S]`, True = a state of a real event.
        latest: `LongTensor[B]` place of the state that knows the whole history and predicts the
            next item; 0 where a history is empty.
    """

    states: Tensor
    mask: Tensor
    latest: Tensor

    def at_latest(self) -> Tensor:
        """The latest state of each user, `[B, D]`."""
        return self.states[torch.arange(len(self.latest), device=self.latest.device), self.latest]


class EventEncoder(nn.Module, ABC):
    """Base of user encoders. States and item embeddings share a space: their inner product ranks.

    Attributes:
        schema: Features that it knows; a batch may carry more.
        history: Most events of a history (`L`).
        width: `D`.
        causal: True where the state of event p (at place p) knows nothing of later events, so that
            one pass over a window serves a target at every position.
    """

    schema: FeatureSchema
    history: int
    width: int
    causal = True

    @property
    def columns_read(self) -> tuple[str, ...]:
        """Columns of a batch that states follow from; no other can change one."""
        return self.schema.names

    @property
    @abstractmethod
    def item_table(self) -> Tensor:
        """Item embeddings `[N + 1, D]`; row 0 is padding."""

    @property
    def item_offset(self) -> Tensor | None:
        """Added to the items' logits, `[N + 1]`, or None."""
        return None

    @abstractmethod
    def encode(self, histories: HistoryBatch) -> Encoded:
        """States of histories."""

    def embed(self, histories: HistoryBatch) -> Tensor:
        """The state after each user's latest event, `[B, D]`; zero for an empty history."""
        encoded = self.encode(histories)
        return encoded.at_latest() * (histories.lengths > 0).unsqueeze(1)

    def log_probs(self, histories: HistoryBatch) -> Tensor:
        """Log-probabilities `[B, N + 1]` of the item after each history."""
        return self.item_log_probs(self.encode(histories).at_latest())

    def item_log_probs(self, states: Tensor) -> Tensor:
        """Log-probabilities `[B, N + 1]` of the next item after states `[B, D]`."""
        return catalogue_log_probs(states, self.item_table, self.item_offset)
