"""Labels said by the text prompt: their names behind the history as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baselines.prompt_rows import PromptRows, as_prefix
from benchmark.events import EventLog
from benchmark.goals import LabelGoal
from benchmark.types import HistoryBatch
from userllm.decoding import branch_states, catalogue_log_probs, read_prompt, title_layout
from userllm.examples import end_filled
from userllm.label_goal import LabelBatch, label_batches, label_loss
from userllm.llm import LanguageModel
from userllm.trie import TitleTrie


@dataclass(frozen=True)
class PromptedLabels:
    """Label examples with their histories as text.

    Attributes:
        rows: `LongTensor[B, S]` tokens of the histories, filled up with -1 at the end.
        batch: The examples.
    """

    rows: Tensor
    batch: LabelBatch

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


class LabelLikelihood(nn.Module):
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
        prefix = as_prefix(self.llm, prompted.rows, batch.labels.shape[1])
        states = branch_states(self.llm, layout, prefix)
        return label_loss(self.llm, trie, states, choices, batch)

    def rank(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Log-probabilities `[B, C]` of the labels behind some histories, on the processor."""
        tokens = end_filled(rows).to(self.llm.device)
        prompt = read_prompt(self.llm, self.query, len(rows), as_prefix(self.llm, tokens))
        trie = self.trie.to(self.llm.device)
        return catalogue_log_probs(self.llm, trie, prompt)[:, 1:].float().cpu()
