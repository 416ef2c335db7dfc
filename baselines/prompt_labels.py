"""Labels said by the text prompt: their names behind the history as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baselines.prompt_rows import PromptRows
from benchmark.events import EventLog
from benchmark.goals import LabelGoal
from benchmark.types import HistoryBatch
from userllm.decoding import (
    branch_states,
    catalogue_log_probs,
    like_lengths,
    read_prompt,
    text_prefix,
    title_layout,
)
from userllm.decoding.trie import TitleTrie
from userllm.goals.examples import end_filled
from userllm.goals.label_goal import LabelBatch, label_batches, label_loss
from userllm.llm.language_model import LanguageModel
from userllm.training.dividing import EachRow


@dataclass(frozen=True)
class PromptedLabels:
    """Label examples with their histories as text.

    Attributes:
        rows: `LongTensor[B, S]` tokens of the histories, filled up with -1 at the end.
        batch: The examples.
    """

    rows: Tensor
    batch: LabelBatch

    def __len__(self) -> int:
        return len(self.rows)

    def some(self, index: slice) -> PromptedLabels:
        """Some of the examples."""
        return PromptedLabels(self.rows[index], self.batch.some(index))

    def to(self, device: torch.device | str) -> PromptedLabels:
        """The same batch on another device."""
        return PromptedLabels(self.rows.to(device), self.batch.to(device))


def prompted_labels(
    log: EventLog, goal: LabelGoal, rows: PromptRows, batch_size: int, seed: int
) -> Iterator[PromptedLabels]:
    """Batches of a label goal's examples, for ever.

    Args:
        log: Events that the goal's positions are in.
        goal: Examples.
        rows: Writes histories.
        batch_size: Examples in a batch.
        seed: Seed of the order.
    """
    for batch in label_batches(log, goal, max(1, rows.items), batch_size, seed):
        yield PromptedLabels(end_filled(history_rows(rows, batch.histories)), batch)


def history_rows(rows: PromptRows, histories: HistoryBatch) -> list[list[int]]:
    """Tokens of histories alone."""
    return rows.rows(histories, [[]] * len(histories))


class LabelLikelihood(EachRow, nn.Module):
    """Mean cross-entropy of label names behind histories as text."""

    def __init__(self, llm: LanguageModel, trie: TitleTrie, query: Sequence[int]) -> None:
        super().__init__()
        self.llm = llm
        self.trie = trie
        self.query = torch.tensor(query, dtype=torch.long)

    def training_loss(self, prompted: PromptedLabels) -> Tensor:
        """Loss of one batch, nats an example."""
        batch, device = prompted.batch, prompted.rows.device
        trie = self.trie.to(device)
        layout, choices = title_layout(trie, self.query.to(device), batch.labels, batch.kept)
        prefix = text_prefix(self.llm, prompted.rows, batch.labels.shape[1])
        states = branch_states(self.llm, layout, prefix)
        return label_loss(self.llm, trie, states, choices, batch)

    def rank(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Log-probabilities `[B, C]` of the labels behind some histories, on the processor."""
        return score_rows(self.llm, self.trie, self.query, rows)[:, 1:].float()


def score_rows(
    llm: LanguageModel, trie: TitleTrie, query: Tensor, rows: Sequence[Sequence[int]]
) -> Tensor:
    """Log-probabilities `[B, N + 1]` of what a trie holds, on the processor.

    Args:
        llm: The language model.
        trie: Of titles or labels.
        query: `LongTensor[G]` what asks for one of them.
        rows: Tokens of `B` histories; those of about the same length are read together.
    """
    trie, parts = trie.to(llm.device), []
    order = list(like_lengths([len(row) for row in rows], len(query) + trie.num_nodes))
    for users in order:
        tokens = end_filled([rows[user] for user in users.tolist()]).to(llm.device)
        prompt = read_prompt(llm, query, len(users), text_prefix(llm, tokens))
        parts.append(catalogue_log_probs(llm, trie, prompt).cpu())
    return torch.cat(parts)[torch.cat(order).argsort()]
