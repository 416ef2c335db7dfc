"""The two stages that fit the language model to the user encoder: alignment, then tuning."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.schema import ITEM
from benchmark.types import HistoryBatch
from userllm.config import AlignSettings
from userllm.model import UserLLM
from userllm.trie import TitleTrie


class Alignment(nn.Module):
    """Say an item's title from the item's own embedding.

    States and item embeddings share a space (the encoder's item table is tied), so this teaches
    the language model what a state means before it has to predict anything. The embedding gets
    noise, and other items' embeddings stand before it as earlier events would.

    Args:
        model: The model to train.
        trie: The catalogue.
        settings: Noise and distractors.
    """

    def __init__(self, model: UserLLM, trie: TitleTrie, settings: AlignSettings) -> None:
        super().__init__()
        self.model = model
        self.trie = trie
        self.settings = settings

    def training_loss(self, items: Tensor) -> Tensor:
        """Mean negative log-likelihood of items `[B]`, nats."""
        count, others = len(items), self.settings.distractors
        table = self.model.encoder.item_table.detach()
        before = torch.randint(1, len(table), (count, others), device=items.device)
        shown = torch.cat([before, items.unsqueeze(1)], dim=1)
        states = F.layer_norm(table[shown], table.shape[1:])
        states = states + self.settings.noise * torch.randn_like(states)
        mask = torch.ones_like(shown, dtype=torch.bool)
        last = torch.full((count, 1), others, device=items.device)
        context = self.model.context(states, mask, last)
        said = items.unsqueeze(1)
        kept = torch.ones_like(said, dtype=torch.bool)
        return -self.model.title_log_probs(self.trie, context, said, kept).mean()


def endless_items(num_items: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Batches of random items, every item equally often."""
    rng = torch.Generator().manual_seed(seed)
    while True:
        yield from (torch.randperm(num_items, generator=rng) + 1).split(batch_size)


class Tuning(nn.Module):
    """Say the title of the next item from the history, at several positions of a window at once.

    The window is encoded once; each chosen position sees the states up to itself.

    Args:
        model: The model to train.
        trie: The catalogue.
        positions: Positions a window (`P`).
        from_encoder: Share of targets replaced by draws from the encoder's distribution.
    """

    def __init__(
        self, model: UserLLM, trie: TitleTrie, positions: int, from_encoder: float = 0.0
    ) -> None:
        super().__init__()
        self.model = model
        self.trie = trie
        self.positions = positions
        self.from_encoder = from_encoder

    def training_loss(self, batch: HistoryBatch) -> Tensor:
        """Mean negative log-likelihood of the chosen targets of windows of `L + 1` events, nats."""
        inputs = HistoryBatch({n: v[:, :-1] for n, v in batch.features.items()}, batch.mask[:, :-1])
        real = batch.mask[:, 1:]
        # A random order of the real positions: windows shorter than P give fewer targets.
        draw = torch.rand(real.shape, device=real.device).masked_fill(~real, -1)
        picked = draw.topk(min(self.positions, real.shape[1]), dim=1)
        items = batch.features[ITEM][:, 1:].gather(1, picked.indices)
        kept = picked.values >= 0
        states = self.model.encoder(inputs)
        context = self.model.context(states, inputs.mask, picked.indices)
        index = picked.indices.unsqueeze(2).expand(-1, -1, states.shape[2])
        views = states.gather(1, index).flatten(0, 1)
        if self.from_encoder:
            items = self._partly_drawn(items, views.detach())
        prior = self.model.prior(self.trie, views)
        log_probs = self.model.title_log_probs(self.trie, context, items, kept, prior)
        return -(log_probs * kept).sum() / kept.sum()

    def _partly_drawn(self, items: Tensor, views: Tensor) -> Tensor:
        drawn = self.model.encoder.item_log_probs(views).exp().multinomial(1).view_as(items)
        replaced = torch.rand(items.shape, device=items.device) < self.from_encoder
        return torch.where(replaced, drawn, items)
