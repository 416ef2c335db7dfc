"""Histories as rows of tokens that fit before a question, the oldest events left out first."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmark.errors import UserError
from benchmark.schema import SUMMARY, TEXT
from benchmark.types import HistoryBatch, PromptTokens
from userllm.history_text import HistoryText
from userllm.llm.language_model import LanguageModel

REVIEWS = {TEXT: " | Review:", SUMMARY: " | Summary:"}
"""What stands before what was written, as it does at the end of a prompt."""


class PromptRows:
    """Writes `<query> <title> | <field> | <field>` lines, what was written of them, a question.

    Args:
        text: Writes the lines.
        llm: Gives the tokens.
        items: Most events of a history.
        longest: Most tokens of a row, question included; the model's positions may allow fewer.
            None = as many as they allow.
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
        longest: int | None,
        behind: int,
        field: str = "",
        review_tokens: int = 0,
    ) -> None:
        places = llm.places
        most = sys.maxsize if longest is None else longest
        self.longest = most if places is None else min(most, places - behind)
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

    def counted(self, histories: HistoryBatch, questions: Sequence[Sequence[int]]) -> PromptTokens:
        """How long rows are, and how many of the events of each history do not fit."""
        rows = self.rows(histories, questions)
        parts = self.parts(histories, [len(self.cut(question)) for question in questions])
        asked = histories.lengths.clamp(max=self.items).tolist()
        dropped = [events - len(own) for events, own in zip(asked, parts, strict=True)]
        return PromptTokens([len(row) for row in rows], dropped)

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
