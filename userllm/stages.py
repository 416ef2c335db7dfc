"""The two stages that fit the language model to the user encoder: alignment, then tuning."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.schema import ITEM
from benchmark.types import HistoryBatch
from userllm.config import AlignSettings
from userllm.decoding.likelihoods import item_likelihood
from userllm.encoder.unmet import without_unmet
from userllm.fusion import UserContext
from userllm.model import UserLLM


@dataclass(frozen=True)
class Noisy:
    """Shown items with noise for their embeddings.

    Attributes:
        shown: `LongTensor[B, S]`.
        noise: `FloatTensor[B, S, D]`, of variance one.
    """

    shown: Tensor
    noise: Tensor

    def __len__(self) -> int:
        return len(self.shown)

    def some(self, index: slice) -> Noisy:
        """Some rows of the batch."""
        return Noisy(self.shown[index], self.noise[index])


@dataclass(frozen=True)
class Picked:
    """Windows with the positions whose next items are to be said.

    Attributes:
        windows: `B` windows of `L + 1` events.
        positions: `LongTensor[B, P]`.
        items: `LongTensor[B, P]`.
        kept: `BoolTensor[B, P]`, False = filler.
    """

    windows: HistoryBatch
    positions: Tensor
    items: Tensor
    kept: Tensor

    def __len__(self) -> int:
        return len(self.windows)

    def some(self, index: slice) -> Picked:
        """Some rows of the batch."""
        parts = (part[index] for part in (self.positions, self.items, self.kept))
        return Picked(self.windows.rows(index), *parts)


class Alignment(nn.Module):
    """Say an item's title from the item's own embedding.

    States and item embeddings share a space (the encoder's item table is tied), so this teaches
    the language model what a state means before it has to predict anything. The embedding gets
    noise, and other items' embeddings may stand before it as earlier events would.

    Args:
        model: The model to train.
        noise: Standard deviation of the noise.
    """

    def __init__(self, model: UserLLM, noise: float) -> None:
        super().__init__()
        self.model = model
        self.noise = noise

    def drawn(self, shown: Tensor) -> Noisy:
        """See `userllm.training.dividing.Divisible`."""
        width = self.model.encoder.width
        return Noisy(shown, torch.randn(*shown.shape, width, device=shown.device))

    def targets(self, batch: Noisy) -> int:
        """See `userllm.training.dividing.Divisible`."""
        return len(batch)

    def training_loss(self, batch: Tensor | Noisy) -> Tensor:
        """Mean negative log-likelihood of the last of the shown items `[B, S]`, nats."""
        batch = self.drawn(batch) if isinstance(batch, Tensor) else batch
        shown = batch.shown
        table = self.model.encoder.item_table.detach()
        states = F.layer_norm(table[shown], table.shape[1:])
        states = states + self.noise * batch.noise
        mask = torch.ones_like(shown, dtype=torch.bool)
        last = torch.full_like(shown[:, :1], shown.shape[1] - 1)
        context = self.model.context(states, mask, last)
        kept = torch.ones_like(last, dtype=torch.bool)
        said, lead = shown[:, -1:], self.model.query
        return -item_likelihood(self.model, context, lead, said, kept).mean()


def alignment_batches(
    items: Tensor, num_items: int, batch_size: int, settings: AlignSettings, seed: int
) -> Iterator[Tensor]:
    """Batches `[B, S]` of shown items, the one to say last, each of them equally often.

    At first an item stands alone (`S` = 1), later behind distractors: with both to learn at once,
    what the vector means and which vector counts, a soft prompt and a Perceiver learn neither.

    Args:
        items: Items to say, `LongTensor[M]`.
        num_items: `N`; distractors are any of 1..N.
        batch_size: `B` at most.
        settings: Steps and distractors.
        seed: Seed of everything.
    """
    rng = torch.Generator().manual_seed(seed)
    alone = round(settings.alone * settings.steps * settings.optimizer.accumulate)
    drawn = itertools.count()
    while True:
        for said in items[torch.randperm(len(items), generator=rng)].split(batch_size):
            others = settings.distractors if next(drawn) >= alone else 0
            before = torch.randint(1, num_items + 1, (len(said), others), generator=rng)
            yield torch.cat([before, said.unsqueeze(1)], dim=1)


class Tuning(nn.Module):
    """Say the title of the next item from the history, at several positions of a window at once.

    The window is encoded once; each chosen position sees the states up to itself.

    Args:
        model: The model to train.
        positions: Positions a window (`P`).
        from_encoder: Share of targets replaced by draws from the encoder's distribution.
        held_out: `BoolTensor[N + 1]`, True = an item that may be no target; None = none.
        unmet: `BoolTensor[N + 1]`, True = left out of the softmax, see `userllm.encoder.unmet`;
            None = none.
    """

    held_out: Tensor | None
    unmet: Tensor | None

    def __init__(
        self,
        model: UserLLM,
        positions: int,
        from_encoder: float = 0.0,
        held_out: Tensor | None = None,
        unmet: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.positions = positions
        self.from_encoder = from_encoder
        self.register_buffer("held_out", held_out, persistent=False)
        self.register_buffer("unmet", unmet, persistent=False)

    def drawn(self, batch: HistoryBatch) -> Picked:
        """See `Divisible`; items of the encoder's own are drawn with dropout."""
        return Picked(batch, *self.pick(batch))

    def targets(self, batch: Picked) -> int:
        """See `userllm.training.dividing.Divisible`."""
        kept = batch.kept
        if self.held_out is not None:
            kept = kept & ~self.held_out[batch.items]
        return int(kept.sum())

    def training_loss(self, batch: HistoryBatch | Picked) -> Tensor:
        """Mean negative log-likelihood of the chosen targets of windows of `L + 1` events, nats.

        Zero where all of them are held out.
        """
        batch = batch if isinstance(batch, Picked) else self.drawn(batch)
        windows, positions, items, kept = batch.windows, batch.positions, batch.items, batch.kept
        inputs = HistoryBatch(
            {n: v[:, :-1] for n, v in windows.features.items()}, windows.mask[:, :-1]
        )
        context, views = self._contexts(inputs, positions)
        drawn = None
        if self.from_encoder:
            items, drawn = self._partly_drawn(items, views.detach())
        if self.held_out is not None:
            kept = kept & ~self.held_out[items]
            if not kept.any():  # nothing to read: no gradient, but a graph as ever
                return 0 * context.vectors.sum()
        lead = self.model.leads(inputs, positions)
        rows = context.mask.shape[:2]
        items, kept = items.view(rows), kept.view(rows)
        lead = lead if lead.ndim == 1 else lead.view(*rows, -1)
        model = self.model
        # Where nothing is said of items, there need be no trie of their titles.
        prior = None if model.volume is None else model.prior(model.trie, views)
        if self.unmet is not None and model.settings.loss == "trie":
            prior = without_unmet(prior, model.trie, self.unmet, items, drawn)
        log_probs = item_likelihood(model, context, lead, items, kept, prior, self.unmet, drawn)
        return -(log_probs * kept).sum() / kept.sum().clamp(min=1)

    def pick(self, batch: HistoryBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Random positions `[B, P]` of windows of `L + 1` events, the next items, and which count.

        Windows shorter than `P` give fewer targets.
        """
        real = batch.mask[:, 1:]
        draw = torch.rand(real.shape, device=real.device).masked_fill(~real, -1)
        picked = draw.topk(min(self.positions, real.shape[1]), dim=1)
        items = batch.features[ITEM][:, 1:].gather(1, picked.indices)
        return picked.indices, items, picked.values >= 0

    def _contexts(self, inputs: HistoryBatch, positions: Tensor) -> tuple[UserContext, Tensor]:
        """What the views `[B, P]` may read, and the state of each, `[B * P, D]`.

        The context is that of `B` users with `P` views, or of `B * P` users with one.
        """
        encoder = self.model.encoder
        if encoder.causal:
            encoded = encoder.encode(inputs)
            index = positions.unsqueeze(2).expand(-1, -1, encoded.states.shape[2])
            views = encoded.states.gather(1, index).flatten(0, 1)
            return self.model.context(encoded.states, encoded.mask, positions), views
        # A state that knows later events may not be shown: each view is a history of its own.
        context, encoded = self.model.read_histories(_cut_at(inputs, positions))
        return context, encoded.at_latest()

    def _partly_drawn(self, items: Tensor, views: Tensor) -> tuple[Tensor, Tensor]:
        """Items of which some are drawn from the encoder, and which of them are."""
        drawn = self.model.encoder.item_log_probs(views).exp().multinomial(1).view_as(items)
        replaced = torch.rand(items.shape, device=items.device) < self.from_encoder
        return torch.where(replaced, drawn, items), replaced


def _cut_at(histories: HistoryBatch, positions: Tensor) -> HistoryBatch:
    """Histories that end at some positions `[B, P]`, as `B * P` rows."""
    places = torch.arange(histories.mask.shape[1], device=positions.device)
    known = places <= positions.unsqueeze(2)
    views = positions.shape[1]
    mask = (histories.mask.unsqueeze(1) & known).flatten(0, 1)
    features = {
        name: value.repeat_interleave(views, dim=0) * (mask if value.ndim == 2 else mask[..., None])
        for name, value in histories.features.items()
    }
    return HistoryBatch(features, mask)
