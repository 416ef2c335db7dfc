"""The text prompt without weights: what it would read, whatever the language model's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from baselines.text_prompt_config import TextPromptSettings
from benchmark.errors import UserError
from benchmark.outlines import (
    ANSWERED,
    NEW_EVENT,
    READ_BY_LLM,
    STORED_READ,
    OutlineRequest,
    Question,
    Work,
)
from benchmark.schema import ITEM
from benchmark.types import HistoryBatch, PromptTokens
from userllm.history_text import HistoryText
from userllm.llm.corpus import item_title_tokens
from userllm.llm.outline import LlmOutline


def outline(request: OutlineRequest) -> PromptOutline:
    """See `benchmark.outlines.Outliner`."""
    return PromptOutline(request)


class PromptOutline:
    """What the text prompt reads: a line an event, and the query behind them.

    Where what stands before the query is stored, the oldest events stay in it at a new event,
    although the method would leave one out: a cache that is cut at its front must be made anew.

    Args:
        request: What it is made from.

    Raises:
        UserError: The language model has no room for query and answer.
    """

    def __init__(self, request: OutlineRequest) -> None:
        settings, llm, data = request.settings, request.llm, request.data
        assert isinstance(settings, TextPromptSettings)
        assert isinstance(llm, LlmOutline)
        given = data.schema.given.names[1:]
        fields = given if settings.fields is None else settings.fields
        titles = item_title_tokens(data.catalog, llm)
        self._llm, self._settings = llm, settings
        self._text = HistoryText(data.catalog, data.schema, fields, llm, titles, settings.query)
        # The first token of a text is one of the query's, wherever it stands.
        own = len(self._text.begin) + len(self._text.query)
        self._query_tokens = own if request.query_tokens is None else request.query_tokens
        self._room = None
        if llm.places is not None:
            self._room = llm.places - request.answer_tokens - self._query_tokens
            if self._room < 0:
                raise UserError(
                    f"{llm.identity} has {llm.places} positions, too few for a query of "
                    f"{self._query_tokens} tokens and an answer of {request.answer_tokens}"
                )
        self.labels: Mapping[str, str] = {}
        if tuple(fields) in ((), given):
            self.labels = {"fields": "full prompt" if fields else "compact prompt"}

    def prompt_tokens(self, histories: HistoryBatch) -> PromptTokens:
        """Lines, the oldest left out where the language model has no positions for them."""
        lines, mask = self._line_tokens(histories), histories.mask.numpy()
        # From the latest line backwards, as many as fit; those left out come to stand in front.
        taken = np.flip(np.flip(lines, axis=1).cumsum(axis=1), axis=1)
        fits = mask if self._room is None else mask & (taken <= self._room)
        tokens = (lines * fits).sum(axis=1) + self._query_tokens
        return PromptTokens(tokens.tolist(), (mask & ~fits).sum(axis=1).tolist())

    def event_tokens(self, histories: HistoryBatch) -> float:
        """Mean tokens of a line."""
        return float(self._line_tokens(histories)[histories.mask.numpy()].mean())

    def works(self, question: Question) -> Mapping[str, Sequence[Work]]:
        """See `benchmark.outlines.Outline`; there is neither encoder nor projector."""
        llm, before = self._llm, self._stored(question)
        answers, prompt = question.answer_tokens, question.prompt_tokens
        return {
            READ_BY_LLM: [llm.work(prompt)],
            ANSWERED: [
                llm.work(1, behind=prompt + (answers - 1) // 2, answers=True, times=answers)
            ],
            STORED_READ: [llm.work(self._query_tokens, behind=before)],
            NEW_EVENT: [llm.work(question.event_tokens, behind=before)],
        }

    def kv_bytes(self, question: Question) -> int:
        """Those of the whole prompt."""
        return self._llm.kv_bytes(question.prompt_tokens)

    def stored_bytes(self, question: Question) -> int:
        """Keys and values of what stands before the query."""
        return self._llm.kv_bytes(self._stored(question))

    def _stored(self, question: Question) -> int:
        return question.prompt_tokens - self._query_tokens

    def _line_tokens(self, histories: HistoryBatch) -> np.ndarray:
        """Tokens of each line `[B, L]`, 0 where no event is; each kind of line is written once."""
        names = (ITEM, *(feature.name for feature in self._text.fields if not feature.of_item))
        kinds = np.zeros(histories.mask.numel(), dtype=np.int64)
        for name in names:
            column = histories.features[name].flatten(0, 1).numpy()
            for values in column.reshape(len(kinds), -1).T:  # several of a multi-valued feature
                kinds = kinds * (int(values.max(initial=0)) + 1) + values
                kinds = np.unique(kinds, return_inverse=True)[1]
        _, places, kinds = np.unique(kinds, return_index=True, return_inverse=True)
        # The lines that there are, as one history.
        one = HistoryBatch(
            {
                name: value.flatten(0, 1)[torch.from_numpy(places)].unsqueeze(0)
                for name, value in histories.features.items()
            },
            torch.ones(1, len(places), dtype=torch.bool),
        )
        query = len(self._text.query)
        counts = [query + len(own.title) + len(own.rest) for own in self._text.lines(one)[0]]
        return np.array(counts)[kinds].reshape(histories.mask.shape) * histories.mask.numpy()
