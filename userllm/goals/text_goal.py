"""Texts written by a language model: plain cross-entropy of what a user wrote behind a prompt.

`packed = text_layout(batch)`, then `text_loss(llm, read(packed.layout), packed, batch)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.events import EventLog
from benchmark.goals import TextGoal
from benchmark.types import HistoryBatch
from userllm.decoding import Packed, pack
from userllm.goals.examples import end_filled, endless_rows, front_filled, gather_histories
from userllm.llm.language_model import LanguageModel


@dataclass(frozen=True)
class TextBatch:
    """Training examples of a text goal.

    Attributes:
        histories: Of `B` users.
        leads: `LongTensor[B, G]` tokens of the prompts, filled up with -1 at the front; whoever
            writes histories as text puts them before the prompts.
        texts: `LongTensor[B, T]` tokens that are read, filled up with -1 at the end.
        said: `LongTensor[B, T + 1]` what each of the lead's last token and the tokens of `texts`
            has to be followed by; -1 = not scored.
    """

    histories: HistoryBatch
    leads: Tensor
    texts: Tensor
    said: Tensor

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def scored(self) -> Tensor:
        """`LongTensor[B]` how many tokens of each text are scored."""
        return (self.said >= 0).sum(dim=1)

    def some(self, index: slice) -> TextBatch:
        """Some of the examples."""
        return self.some_texts(index, index)

    def some_texts(self, index: slice, users: slice) -> TextBatch:
        """Some of the texts, where several belong to a user."""
        parts = (part[index] for part in (self.leads, self.texts, self.said))
        return TextBatch(self.histories.rows(users), *parts)

    def to(self, device: torch.device | str) -> TextBatch:
        """The same batch on another device."""
        parts = (part.to(device) for part in (self.leads, self.texts, self.said))
        return TextBatch(self.histories.to(device), *parts)


def text_tokens(llm: LanguageModel, text: str, longest: int) -> tuple[list[int], bool]:
    """Tokens of a text behind a prompt, which are said after a space; and whether it ends there.

    Args:
        llm: Gives the tokens.
        text: What is said.
        longest: Most tokens; of a longer text the rest is left out, and no end is said.
    """
    tokens = [token for token in llm.encode(f" {text}") if token != llm.end_token]
    return tokens[:longest], len(tokens) <= longest


def text_batch(
    llm: LanguageModel,
    histories: HistoryBatch,
    leads: list[list[int]],
    references: list[str],
    longest: int,
) -> TextBatch:
    """A batch from tokens of the leads and the texts behind them; see `TextBatch`."""
    texts, said = [], []
    for reference in references:
        tokens, ends = text_tokens(llm, reference, longest)
        texts.append(tokens)
        said.append([*tokens, llm.end_token if ends else -1])
    return TextBatch(histories, front_filled(leads), end_filled(texts), end_filled(said))


def text_batches(
    llm: LanguageModel,
    log: EventLog,
    goal: TextGoal,
    history: int,
    batch_size: int,
    seed: int,
    *,
    written: bool = False,
) -> Iterator[TextBatch]:
    """Batches of a goal's examples, for ever, in an order that the seed says.

    The leads are the prompts behind the token that begins a text, as `generate` reads them.

    Args:
        llm: Gives the tokens.
        log: Events that the goal's positions are in.
        goal: Examples.
        history: Most events of a history.
        batch_size: `B`.
        seed: Seed of the order.
        written: Whether what users wrote comes along.
    """
    for rows in endless_rows(len(goal.starts), batch_size, seed):
        histories = gather_histories(
            log, goal.starts[rows], goal.stops[rows], history, written=written
        )
        leads = [llm.encode(goal.prompts[row], begin=True) for row in rows]
        references = [goal.references[row] for row in rows]
        yield text_batch(llm, histories, leads, references, goal.longest)


def text_layout(batch: TextBatch) -> Packed:
    """What the language model reads: of each user the lead and the text, one view each."""
    kept = torch.ones_like(batch.leads[:, :1], dtype=torch.bool)
    return pack(batch.leads.unsqueeze(1), batch.texts.unsqueeze(1), kept)


def text_loss(llm: LanguageModel, states: Tensor, packed: Packed, batch: TextBatch) -> Tensor:
    """Mean cross-entropy over the whole vocabulary, nats a token; the end counts as one.

    Args:
        llm: Gives the token logits.
        states: `[B, T, E]` states of `packed.layout`.
        packed: From `text_layout`.
        batch: What is right.
    """
    behind = packed.step >= 0
    row, column, owner = packed.pick(behind)
    said = batch.said[owner, packed.step[behind]]
    scored = said >= 0
    logits = llm.logits(states[row[scored], column[scored]]).float()
    return F.cross_entropy(logits, said[scored])
