"""Histories as rows of tokens that fit before a question, the oldest events left out first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmark.errors import UserError
from benchmark.schema import SUMMARY, TEXT
from benchmark.types import HistoryBatch
from userllm.decoding import Prefix
from userllm.history_text import HistoryText
from userllm.llm import LanguageModel

REVIEWS = {TEXT: " | Review:", SUMMARY: " | Summary:"}
"""What stands before what was written, as it does at the end of a prompt."""


class PromptRows:
    """Writes `<query> <title> | <field> | <field>` lines, what was written of them, a question.

    Args:
        text: Writes the lines.
        llm: Gives the tokens.
        items: Most events of a history.
        longest: Most tokens of a row, question included; the model's positions may allow fewer.
        behind: Most tokens that come behind a row.
        field: Of `HistoryBatch.written`: what stands at the end of a line as `| Review: ...`; "" =
            nothing.
        review_tokens: Most tokens of each of these.

    Raises:
        UserError: The model has no positions for a row and what comes behind it.
    """

    def __init__(
        self,
        text: HistoryText,
        llm: LanguageModel,
        *,
        items: int,
        longest: int,
        behind: int,
        field: str = "",
        review_tokens: int = 0,
    ) -> None:
        places = getattr(llm.model.config.get_text_config(), "max_position_embeddings", None)
        self.longest = longest if places is None else min(longest, places - behind)
        if self.longest < 2:
            raise UserError(
                f"{llm.identity} has {places} positions, and an answer alone may take {behind}: "
                "ask for shorter ones"
            )
        self.items = items
        self._text = text
        self._llm = llm
        self._field = field if review_tokens else ""
        self._review_tokens = review_tokens
        self._line_end = llm.encode("\n")

    def rows(self, histories: HistoryBatch, questions: Sequence[Sequence[int]]) -> list[list[int]]:
        """Tokens of each history and of the question behind it.

        As many of the latest events come along as fit, each with its review, or without it where
        that alone fits. A question that does not fit loses its first tokens.

        Args:
            histories: Of `B` users.
            questions: `B` rows of tokens.
        """
        questions = [self.cut(question) for question in questions]
        parts = self.parts(histories, [len(question) for question in questions])
        return [
            [*self.begin, *(token for part in own for token in part), *question]
            for own, question in zip(parts, questions, strict=True)
        ]

    @property
    def begin(self) -> list[int]:
        """What every row begins with."""
        return self._text.begin

    def cut(self, question: Sequence[int]) -> list[int]:
        """The last tokens of a question, as many as fit."""
        return list(question)[-(self.longest - len(self.begin)) :]

    def parts(self, histories: HistoryBatch, taken: Sequence[int]) -> list[list[list[int]]]:
        """Tokens of the events of each history that fit, oldest first.

        Args:
            histories: Of `B` users.
            taken: `B` numbers of tokens that questions take.
        """
        written = histories.written.get(self._field)
        found = []
        for user, lines in enumerate(self._text.lines(histories)):
            left = self.longest - len(self.begin) - taken[user]
            parts: list[list[int]] = []
            for place in range(len(lines) - 1, max(-1, len(lines) - 1 - self.items), -1):
                line = [*self._text.query, *lines[place].title, *lines[place].rest]
                if len(line) > left:
                    break
                if written is not None:
                    said = self._with_review(line, written[user][place])
                    line = said if len(said) <= left else line
                parts.append(line)
                left -= len(parts[-1])
            found.append(parts[::-1])
        return found

    def _with_review(self, line: list[int], text: str) -> list[int]:
        """A line with what was written at its end."""
        words = text.split()[: self._review_tokens]  # no word is less than a token
        if not words:
            return line
        before, stop = REVIEWS[self._field], self._llm.end_token
        review = self._llm.encode(" ".join(["", *words]))[: self._review_tokens]
        end = self._line_end
        if end and line[-len(end) :] == end:
            line = line[: -len(end)]
        return [*line, *self._llm.encode(before), *(t for t in review if t != stop), *end]


def as_prefix(
    llm: LanguageModel, rows: Tensor, views: int = 1, seen: Tensor | None = None
) -> Prefix | None:
    """Rows as what stands before branches.

    Args:
        llm: Gives the embeddings.
        rows: `LongTensor[B, S]`, filled up with -1 at the end.
        views: `P`.
        seen: `LongTensor[B, P]` how many tokens each view sees; None = all.

    Returns:
        None where the rows hold nothing.
    """
    if not rows.shape[1]:
        return None
    visible = (rows >= 0).unsqueeze(1).expand(-1, views, -1)
    places = torch.arange(rows.shape[1], device=rows.device)
    if seen is not None:
        visible = visible & (places < seen.unsqueeze(2))
    causal = places.unsqueeze(1) >= places.unsqueeze(0)
    return Prefix(
        vectors=llm.embed_tokens(rows.clamp(min=0)),
        keep=causal.expand(len(rows), -1, -1),
        visible=visible,
        positions=places.expand(len(rows), -1),
    )
