"""SASRec: a causal transformer over item ids, with full cross-entropy at every position."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from baselines.config import SasRecSettings
from baselines.window_stage import fit_in_one_stage, latest, windows_of
from benchmark.protocols import FitContext, TrainingData
from benchmark.schema import ITEM, PADDING
from benchmark.types import Candidates, FitReport, HistoryBatch, Ranking, rank_scores
from userllm.nn.blocks import CausalTransformer
from userllm.nn.loss import catalogue_cross_entropy, catalogue_log_probs


class SasRecModel(nn.Module):
    """Item table, causal transformer, and the same table again for the scores.

    Args:
        num_items: `N`.
        settings: Its settings.
    """

    def __init__(self, num_items: int, settings: SasRecSettings) -> None:
        super().__init__()
        size = settings.transformer
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

    def training_loss(self, batch: HistoryBatch) -> Tensor:
        """Cross-entropy of every event but the first, over the whole catalogue; scalar."""
        items, real = batch.features[ITEM], batch.mask[:, 1:]
        states = self(items[:, :-1])
        return catalogue_cross_entropy(states[real], self.items.weight, items[:, 1:][real])

    def log_probs(self, histories: HistoryBatch) -> Tensor:
        """Log-probabilities `[B, N + 1]` of the next item."""
        states = latest(self(histories.features[ITEM]), histories)
        return catalogue_log_probs(states, self.items.weight)


class SasRec:
    """The method: trained on windows, ranks by the state of the latest event.

    Args:
        settings: Its settings.
    """

    def __init__(self, settings: SasRecSettings) -> None:
        self.settings = settings
        self.history_length = settings.fit.history
        self.model: SasRecModel | None = None

    def fit(self, data: TrainingData, context: FitContext) -> FitReport:
        """Learns to predict every next item of the training events."""
        settings = self.settings
        torch.manual_seed(context.seed)
        self.model = SasRecModel(len(data.catalog), settings)
        material = windows_of(
            data.events, settings.fit.history + 1, settings.fit.batch_size, context.seed
        )
        return fit_in_one_stage(
            self, self.model, material, context, settings.fit, settings.optimizer
        )

    def state(self) -> Mapping[str, Tensor]:
        """Every weight by name."""
        assert self.model is not None, "fit first"
        return self.model.state_dict()

    @torch.no_grad()
    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        """Ranks the catalogue for every history."""
        assert self.model is not None, "fit first"
        histories = histories.to(self.model.items.weight.device)
        return rank_scores(self.model.log_probs(histories).cpu(), candidates, k, log_probs=True)
