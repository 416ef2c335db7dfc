"""Learners of the goals beside the next item, and of several goals at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.goals import LabelGoal
from userllm.decoding import title_layout
from userllm.fusion import UserContext
from userllm.goals.answers import label_lead, trie_of_labels
from userllm.goals.label_goal import LabelBatch, label_loss
from userllm.goals.text_goal import TextBatch, text_layout, text_loss
from userllm.model import UserLLM
from userllm.training.dividing import Divisible, EachRow, rows_of
from userllm.training.module import Learner


class SayingLabels(EachRow, nn.Module):
    """Say the label that a history stands for, among the labels alone.

    Args:
        model: The model to train.
        goal: Names the labels and asks for them.
    """

    def __init__(self, model: UserLLM, goal: LabelGoal) -> None:
        super().__init__()
        self.model = model
        self.goal = goal

    def training_loss(self, batch: LabelBatch) -> Tensor:
        """Mean cross-entropy against targets spread over tied labels, nats an example."""
        model = self.model
        trie = trie_of_labels(model, self.goal.labels)
        context, _ = model.read_histories(batch.histories)
        lead = label_lead(model, self.goal.query, batch.histories)
        if lead.ndim == 2:
            lead = lead.unsqueeze(1).expand(-1, batch.labels.shape[1], -1)
        layout, choices = title_layout(trie, lead, batch.labels, batch.kept)
        states = model.read(_repeated(context, batch.labels.shape[1]), layout)
        return label_loss(model.llm, trie, states, choices, batch)


class Writing(nn.Module):
    """Write what a user wrote, behind a prompt.

    Args:
        model: The model to train.
    """

    def __init__(self, model: UserLLM) -> None:
        super().__init__()
        self.model = model

    def training_loss(self, batch: TextBatch) -> Tensor:
        """Mean cross-entropy of the texts over the whole vocabulary, nats a token."""
        context, _ = self.model.read_histories(batch.histories)
        packed = text_layout(batch)
        return text_loss(self.model.llm, self.model.read(context, packed.layout), packed, batch)

    def drawn(self, batch: TextBatch) -> TextBatch:
        """See `userllm.training.dividing.Divisible`."""
        return batch

    def targets(self, batch: TextBatch) -> int:
        """See `userllm.training.dividing.Divisible`."""
        return int(batch.scored.sum())


def _repeated(context: UserContext, views: int) -> UserContext:
    """The context of users with one view each, who get several that see the same."""
    return replace(
        context,
        mask=context.mask.expand(-1, views, -1),
        distance=context.distance.expand(-1, views, -1),
    )


@dataclass(frozen=True)
class Portion:
    """A batch of one of several goals.

    Attributes:
        goal: Its number.
        batch: What its learner takes.
    """

    goal: int
    batch: Any

    def __len__(self) -> int:
        return len(self.batch)

    def some(self, index: slice) -> Portion:
        """Some rows of the batch."""
        return Portion(self.goal, rows_of(self.batch, index))

    def to(self, device: torch.device | str) -> Portion:
        """The same portion on another device."""
        return Portion(self.goal, self.batch.to(device))


class Together(nn.Module):
    """Learns several goals in one stage, a batch of one of them at a time.

    Args:
        learners: One for each goal, around the same model.
    """

    def __init__(self, learners: Sequence[nn.Module]) -> None:
        super().__init__()
        self.learners = nn.ModuleList(learners)

    def training_loss(self, portion: Portion) -> Tensor:
        """The loss of the goal that the portion is of."""
        learner = self.learners[portion.goal]
        assert isinstance(learner, Learner)
        return learner.training_loss(portion.batch)

    def drawn(self, portion: Portion) -> Portion:
        """See `userllm.training.dividing.Divisible`."""
        learner = self.learners[portion.goal]
        assert isinstance(learner, Divisible)
        return Portion(portion.goal, learner.drawn(portion.batch))

    def targets(self, portion: Portion) -> int:
        """See `userllm.training.dividing.Divisible`."""
        learner = self.learners[portion.goal]
        assert isinstance(learner, Divisible)
        return learner.targets(portion.batch)


def mixed(batches: Sequence[Iterator[Any]], shares: Sequence[int]) -> Iterator[Portion]:
    """Batches of several goals in proportion, spread as evenly as can be, for ever.

    Args:
        batches: Endless batches of each goal.
        shares: How many there are to be of each.
    """
    total, given = sum(shares), [0] * len(shares)
    while True:
        due = [share * (sum(given) + 1) / total for share in shares]
        goal = max(range(len(shares)), key=lambda n: due[n] - given[n])
        given[goal] += 1
        yield Portion(goal, next(batches[goal]))
