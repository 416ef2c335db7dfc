"""USER-LLM without weights: what it would read and compute, whatever the language model's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

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
from benchmark.protocols import PROJECTOR, USER_ENCODER
from benchmark.types import HistoryBatch, PromptTokens
from userllm.compatibility import LONGEST_QUERY_TOKENS, check_query, check_shape
from userllm.config import UserLLMSettings
from userllm.encoder.event_encoder import EventEncoder
from userllm.history_text import HistoryText
from userllm.llm.corpus import item_title_tokens
from userllm.llm.outline import LlmOutline
from userllm.model import UserLLM


def outline(request: OutlineRequest) -> UserOutline:
    """See `benchmark.outlines.Outliner`."""
    return UserOutline(request)


class UserOutline:
    """What USER-LLM reads and computes.

    The vectors of a user are read again with every token: the cross-attention keeps no keys and
    values of them. An encoder that knows a user so far reads the whole history at a new event.

    Args:
        request: What it is made from.

    Raises:
        UserError: Settings and language model do not fit together.
    """

    labels: Mapping[str, str] = {}

    def __init__(self, request: OutlineRequest) -> None:
        settings, llm, encoder = request.settings, request.llm, request.encoder
        assert isinstance(settings, UserLLMSettings)
        assert isinstance(llm, LlmOutline)
        assert isinstance(encoder, EventEncoder)
        check_shape(settings, llm.identity, len(llm.layers()), llm.width, llm.layer_width)
        own = llm.encode(settings.query, begin=True)
        check_query(settings.query, len(own))
        asked = len(own) if request.query_tokens is None else request.query_tokens
        if not 0 < asked <= LONGEST_QUERY_TOKENS:
            raise UserError(f"a query of {asked} tokens: 1 to {LONGEST_QUERY_TOKENS} are allowed")
        with torch.device("meta"):
            self._model = UserLLM(encoder, llm, settings).eval()
        self._llm, self._data, self._settings = llm, request.data, settings
        self._query_tokens, self._answer_tokens = asked, request.answer_tokens

    def prompt_tokens(self, histories: HistoryBatch) -> PromptTokens:
        """The query, the same for everybody, and the most recent items where they are asked for."""
        tokens, none = [self._query_tokens] * len(histories), [0] * len(histories)
        count = self._settings.recent_as_text
        if not count:
            return PromptTokens(tokens, none)
        data, schema = self._data, self._data.schema
        chosen = self._settings.recent_fields
        text = HistoryText(
            data.catalog,
            schema,
            schema.given.names[1:] if chosen is None else chosen,
            self._llm,
            item_title_tokens(data.catalog, self._llm),
            self._settings.query,
        )
        leads = text.leads(histories, (histories.lengths - 1).unsqueeze(1), count)
        recent = (leads[:, 0] >= 0).sum(dim=1) - len(text.begin) - len(text.query)
        return PromptTokens((recent + self._query_tokens).tolist(), none)

    def event_tokens(self, histories: HistoryBatch) -> float:
        """None: events are no text."""
        return 0.0

    def works(self, question: Question) -> Mapping[str, Sequence[Work]]:
        """See `benchmark.outlines.Outline`."""
        encoder, states = self._encoder_work(question.events)
        projector, vectors = self._projector_work(states)
        tokens = question.prompt_tokens
        self._llm.check_positions(tokens + self._soft(vectors) + question.answer_tokens)
        read = self._read(tokens, vectors)
        return {
            USER_ENCODER: [encoder],
            PROJECTOR: [projector],
            READ_BY_LLM: [read],
            ANSWERED: self._answered(question, vectors),
            STORED_READ: [read],
            NEW_EVENT: [encoder, projector],
        }

    def kv_bytes(self, question: Question) -> int:
        """Those of the query, and of the user where its vectors are a soft prompt."""
        return self._llm.kv_bytes(question.prompt_tokens + self._soft(self._vectors(question)))

    def stored_bytes(self, question: Question) -> int:
        """The user's vectors, as the language model reads them."""
        return self._llm.vector_bytes(self._vectors(question))

    def _soft(self, vectors: int) -> int:
        """Positions that the user takes up before the text."""
        return 0 if self._model.fusion is not None else vectors

    def _vectors(self, question: Question) -> int:
        return self._settings.projector.latents or self._encoder_work(question.events)[1]

    def _read(self, tokens: int, vectors: int) -> Work:
        fusion = self._model.fusion
        if fusion is None:
            return self._llm.work(vectors + tokens)
        latents = self._settings.projector.latents
        return self._llm.work_with_user(tokens, fusion, vectors, latents=latents)

    def _answered(self, question: Question, vectors: int) -> list[Work]:
        """One token at a time; or one softmax over the items, where that is how it answers."""
        model, settings = self._model, self._settings
        items = self._data.schema.num_items + 1
        with torch.device("meta"):
            scores = nn.Linear(model.encoder.width, items, bias=False)
            state, known = torch.empty(1, self._llm.width), torch.empty(1, model.encoder.width)
        if model.item_head is not None:
            return [Work(model.item_head, (state,)), Work(scores, (known,))]
        answers = question.answer_tokens
        behind = question.prompt_tokens + self._soft(vectors) + (answers - 1) // 2
        if model.fusion is None:
            step = self._llm.work(1, behind=behind, answers=True, times=answers)
        else:
            step = self._llm.work_with_user(
                1,
                model.fusion,
                vectors,
                latents=settings.projector.latents,
                behind=behind,
                answers=True,
                times=answers,
            )
        return [step, Work(scores, (known,))] if settings.encoder_prior else [step]

    def _encoder_work(self, events: int) -> tuple[Work, int]:
        """Reading a history, and how many states come of it."""
        names: list[str] = []
        columns: list[Tensor] = []
        with torch.device("meta"):
            mask = torch.ones(1, events, dtype=torch.bool)
            for feature in self._data.schema:
                shape = (1, events) if feature.width == 1 else (1, events, feature.width)
                names.append(feature.name)
                columns.append(torch.empty(shape, dtype=torch.long))
        encode = _Encode(self._model.encoder, names).eval()
        with torch.no_grad():
            states = encode(mask, *columns).shape[1]
        return Work(encode, (mask, *columns)), int(states)

    def _projector_work(self, states: int) -> tuple[Work, int]:
        """Projecting states, and how many vectors come of it."""
        with torch.device("meta"):
            given = (
                torch.empty(1, states, self._model.encoder.width),
                torch.ones(1, 1, states, dtype=torch.bool),
                torch.empty(1, 1, states, dtype=torch.long),
            )
        project = _Project(self._model.projector).eval()
        return Work(project, given), self._settings.projector.latents or states


class _Encode(nn.Module):
    """States `[1, S, D]` of a history `[1, L]`."""

    def __init__(self, encoder: EventEncoder, names: Sequence[str]) -> None:
        super().__init__()
        self.encoder = encoder
        self.names = tuple(names)

    def forward(self, mask: Tensor, *columns: Tensor) -> Tensor:
        """Encodes; columns stand in the order of `names`."""
        features = dict(zip(self.names, columns, strict=True))
        return self.encoder.encode(HistoryBatch(features, mask)).states


class _Project(nn.Module):
    """Vectors of one view of a history."""

    def __init__(self, projector: nn.Module) -> None:
        super().__init__()
        self.projector = projector

    def forward(self, states: Tensor, mask: Tensor, distance: Tensor) -> Tensor:
        """Projects states `[1, S, D]`; mask and distance are `[1, 1, S]`."""
        vectors: Tensor = self.projector(states, mask, distance).vectors
        return vectors
