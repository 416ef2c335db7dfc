"""How the text prompt learns to write: several reviews of a user behind one history as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from baselines.prompt_rows import PromptRows
from benchmark.events import EventLog
from benchmark.goals import TextGoal
from userllm.decoding import branch_states, pack, text_prefix
from userllm.goals.examples import end_filled, endless_rows, gather_histories
from userllm.goals.text_goal import TextBatch, text_batch, text_loss
from userllm.llm.language_model import LanguageModel


@dataclass(frozen=True)
class PromptedTexts:
    """Reviews of `B` users, at most `P` of each, and the histories that they follow.

    Attributes:
        rows: `LongTensor[B, S]` tokens of the histories, filled up with -1 at the end.
        seen: `LongTensor[B, P]` how many of them stand before each review.
        kept: `BoolTensor[B, P]`, False = filler.
        batch: The `B * P` reviews with their prompts.
    """

    rows: Tensor
    seen: Tensor
    kept: Tensor
    batch: TextBatch

    def __len__(self) -> int:
        return len(self.rows)

    def some(self, index: slice) -> PromptedTexts:
        """The reviews of some users."""
        begin, end, _ = index.indices(len(self))
        views = self.seen.shape[1]
        reviews = self.batch.some_texts(slice(begin * views, end * views), index)
        return PromptedTexts(self.rows[index], self.seen[index], self.kept[index], reviews)

    def to(self, device: torch.device | str) -> PromptedTexts:
        """The same batch on another device."""
        rows, seen, kept = (part.to(device) for part in (self.rows, self.seen, self.kept))
        return PromptedTexts(rows, seen, kept, self.batch.to(device))


class TextLessons:
    """Training examples of a text goal, those of neighbouring events packed behind one history.

    A pack is the latest `items` events before one review, that review, and those of the events in
    between, each of which sees what stands before it: as windows of next items are packed, so that
    a history is read once for several reviews.

    Args:
        llm: Gives the tokens.
        log: Events that the goal's positions are in.
        goal: Examples.
        rows: Writes histories.
        batch_size: Examples in a batch, about.
        together: Most reviews of a pack.
        seed: Seed of the order.
    """

    def __init__(
        self,
        llm: LanguageModel,
        log: EventLog,
        goal: TextGoal,
        rows: PromptRows,
        *,
        batch_size: int,
        together: int,
        seed: int,
    ) -> None:
        self._llm, self._log, self._goal, self._rows, self._seed = llm, log, goal, rows, seed
        self._order = np.argsort(goal.stops, kind="stable")
        starts, stops = goal.starts[self._order], goal.stops[self._order]
        # Examples in the order of their events: those of a pack are neighbours.
        first = np.searchsorted(stops, np.maximum(stops - rows.items + 1, starts))
        own = np.arange(len(stops))
        self._first = np.clip(first, own - together + 1, own)
        sizes = own - self._first + 1
        self.packs = min(len(own), max(1, round(batch_size / sizes.mean())))
        self.examples = float(self.packs * sizes.mean())

    def batches(self) -> Iterator[PromptedTexts]:
        """Batches of `packs` packs, with `examples` examples on average, for ever."""
        for lasts in endless_rows(len(self._order), self.packs, self._seed):
            yield self.batch(lasts)

    def batch(self, lasts: np.ndarray) -> PromptedTexts:
        """Some packs.

        Args:
            lasts: `[B]` places of their last examples, in the order of events.
        """
        goal, llm, width = self._goal, self._llm, int((lasts - self._first[lasts]).max()) + 1
        packs = [self._order[self._first[last] : last + 1] for last in lasts]
        ends = self._order[lasts]
        length = max(1, self._rows.items)
        histories = gather_histories(
            self._log, goal.starts[ends], goal.stops[ends], length, written=True
        )
        leads: list[list[list[int]]] = []
        references: list[str] = []
        for own in packs:
            filler = width - len(own)
            questions = [self._rows.cut(llm.encode(goal.prompts[row])) for row in own]
            leads.append([*questions, *([[0]] * filler)])
            references += [*(goal.references[row] for row in own), *([""] * filler)]
        begin, rows = self._rows.begin, []
        seen = torch.zeros(len(packs), width, dtype=torch.long)
        parts = self._rows.parts(histories, [max(map(len, own)) for own in leads])
        for user, (own, events) in enumerate(zip(packs, parts, strict=True)):
            rows.append([*begin, *(token for event in events for token in event)])
            until = np.cumsum([len(begin), *map(len, events)])
            behind = goal.stops[own[-1]] - goal.stops[own]  # events that a review does not see
            seen[user, : len(own)] = torch.from_numpy(until[np.maximum(len(events) - behind, 0)])
        kept = torch.arange(width) < torch.tensor([len(own) for own in packs]).unsqueeze(1)
        flat = [lead for own in leads for lead in own]
        batch = text_batch(llm, histories, flat, references, goal.longest)
        return PromptedTexts(end_filled(rows), seen, kept, batch)


class TextLikelihood(nn.Module):
    """Mean cross-entropy of texts behind histories and prompts."""

    def __init__(self, llm: LanguageModel) -> None:
        super().__init__()
        self.llm = llm

    def drawn(self, prompted: PromptedTexts) -> PromptedTexts:
        """See `userllm.training.dividing.Divisible`."""
        return prompted

    def targets(self, prompted: PromptedTexts) -> int:
        """See `userllm.training.dividing.Divisible`."""
        return int(prompted.batch.scored[prompted.kept.flatten()].sum())

    def training_loss(self, prompted: PromptedTexts) -> Tensor:
        """Loss of one batch, nats a token."""
        batch, kept = prompted.batch, prompted.kept
        leads, texts = (part.unflatten(0, kept.shape) for part in (batch.leads, batch.texts))
        packed = pack(leads, texts, kept)
        prefix = text_prefix(self.llm, prompted.rows, kept.shape[1], prompted.seen)
        states = branch_states(self.llm, packed.layout, prefix)
        return text_loss(self.llm, states, packed, batch)
