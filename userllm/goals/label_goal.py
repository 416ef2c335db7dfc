"""Labels said by a language model: their names are a small catalogue with a trie of its own.

Label c is item c + 1 of that catalogue, so all that scores titles scores labels:

    trie = label_trie(goal.labels, llm)
    layout, choices = title_layout(trie, lead, batch.labels, batch.kept)
    loss = label_loss(llm, trie, read(layout), choices, batch)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmark.errors import UserError
from benchmark.events import EventLog
from benchmark.goals import LabelGoal
from benchmark.types import HistoryBatch
from userllm.decoding import Choices, title_log_probs
from userllm.decoding.trie import TitleTrie, build_trie
from userllm.goals.examples import endless_rows, gather_histories
from userllm.llm.language_model import LanguageModel

MOST_RIGHT = 4
"""Right labels of an example that a batch scores; of more, others are drawn at each meeting."""


@dataclass(frozen=True)
class LabelBatch:
    """Training examples of a label goal.

    Attributes:
        histories: Of `B` users.
        labels: `LongTensor[B, R]` right labels, label c as c + 1; 0 = filler.
    """

    histories: HistoryBatch
    labels: Tensor

    @property
    def kept(self) -> Tensor:
        """`BoolTensor[B, R]`, True = a label."""
        return self.labels > 0

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, index: slice) -> LabelBatch:
        """Some of the examples."""
        return LabelBatch(self.histories.rows(index), self.labels[index])

    def to(self, device: torch.device | str) -> LabelBatch:
        """The same batch on another device."""
        return LabelBatch(self.histories.to(device), self.labels.to(device))


def label_trie(labels: Sequence[str], llm: LanguageModel) -> TitleTrie:
    """The trie of label names, on the processor; label c is its item c + 1.

    Raises:
        UserError: A name has no tokens, or holds the token that ends texts.
    """
    end = llm.end_token
    names = [llm.encode(f" {label}") for label in labels]
    for label, tokens in zip(labels, names, strict=True):
        if not label.strip() or not tokens:
            raise UserError("a label has an empty name: every label needs one to be said by")
        if end in tokens:
            raise UserError(
                f"the label {label!r} holds {llm.tokenizer.decode([end])!r}, which ends a text"
            )
    with torch.inference_mode(False):  # whoever asks first may be ranking, and training after that
        return build_trie(names, end)


def label_batches(
    log: EventLog,
    goal: LabelGoal,
    history: int,
    batch_size: int,
    seed: int,
    *,
    written: bool = False,
) -> Iterator[LabelBatch]:
    """Batches of a goal's examples, for ever, in an order that the seed says.

    Args:
        log: Events that the goal's positions are in.
        goal: Examples.
        history: Most events of a history.
        batch_size: `B`.
        seed: Seed of the order, and of which labels are scored where many are right.
        written: Whether what users wrote comes along.
    """
    rng = np.random.default_rng([seed, 3])
    for rows in endless_rows(len(goal.starts), batch_size, seed):
        histories = gather_histories(
            log, goal.starts[rows], goal.stops[rows], history, written=written
        )
        yield LabelBatch(histories, torch.from_numpy(_drawn(goal.right[rows], rng)))


def _drawn(right: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Right labels `[B, R]` of `BoolArray[B, C]`, label c as c + 1; 0 behind the last."""
    count = min(MOST_RIGHT, max(1, int(right.sum(axis=1).max())))
    order = np.argsort(np.where(right, rng.random(right.shape), 2.0), axis=1)[:, :count]
    return np.where(np.take_along_axis(right, order, axis=1), order + 1, 0).astype(np.int64)


def label_loss(
    llm: LanguageModel, trie: TitleTrie, states: Tensor, choices: Choices, batch: LabelBatch
) -> Tensor:
    """Mean cross-entropy against targets spread evenly over the right labels, nats an example.

    Args:
        llm: Gives the token logits.
        trie: From `label_trie`, where the states are.
        states: `[B, T, E]` states of the layout that `choices` belongs to.
        choices: From `title_layout(trie, lead, batch.labels, batch.kept)`.
        batch: What is right.
    """
    log_probs = title_log_probs(llm, trie, states, choices, batch.labels)
    kept = batch.kept
    each = (log_probs * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)
    loss: Tensor = -each.mean()
    return loss
