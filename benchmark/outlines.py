"""A method without weights: what it would read and compute, at any size of language model.

Part of the kernel: methods make outlines, `benchmark.cost` counts what they say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from benchmark.protocols import PROJECTOR, USER_ENCODER, TrainingData
from benchmark.types import HistoryBatch, PromptTokens

READ_BY_LLM, ANSWERED, STORED_READ, NEW_EVENT = "llm_prompt", "decode", "stored", "new_event"
ANSWER_WORK = (USER_ENCODER, PROJECTOR, READ_BY_LLM, ANSWERED, STORED_READ, NEW_EVENT)
"""What an answer takes: encoder, projector, what the language model reads, and its decoding; what
it still reads where all that is known of the user before the question was stored; and bringing
what is stored up to date after one new event."""


@dataclass(frozen=True)
class Work:
    """One call of a module, known by the shapes of what it is given.

    Attributes:
        module: On the device `meta`, in evaluation mode.
        inputs: What it is called with, on the device `meta`.
        times: How often.
        repeats: Modules inside, by name, that stand for so many of the same shape.
    """

    module: nn.Module
    inputs: tuple[Tensor, ...]
    times: float = 1.0
    repeats: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class OutlineRequest:
    """What an outline is made from.

    Attributes:
        data: Names items and features.
        settings: Of the method.
        encoder: What stands in its encoder slot, on the device `meta`; None without a slot.
        llm: The language model's own outline, see `userllm.llm.outline`.
        query_tokens: Tokens that ask, the first token of a text included; None = those of the
            settings' query.
        answer_tokens: Tokens of an answer, for which room is left.
    """

    data: TrainingData
    settings: Any
    encoder: nn.Module | None
    llm: Any
    query_tokens: int | None = None
    answer_tokens: int = 1


@dataclass(frozen=True)
class Question:
    """What one answer is about, in numbers.

    Attributes:
        events: Events of the history (`L`).
        prompt_tokens: Tokens that the language model reads before it answers, query included.
        event_tokens: Tokens of one more event, where events are text.
        answer_tokens: Tokens of the answer.
    """

    events: int
    prompt_tokens: int
    event_tokens: int
    answer_tokens: int


class Outline(Protocol):
    """A method without weights: what it would read and compute, at any size of language model."""

    @property
    def labels(self) -> Mapping[str, str]:
        """What settings are called in a table, by dotted name; others are told as they stand."""
        ...

    def prompt_tokens(self, histories: HistoryBatch) -> PromptTokens:
        """What the language model would read before it answers, `B` users."""
        ...

    def event_tokens(self, histories: HistoryBatch) -> float:
        """Mean tokens of an event of these histories as text; 0 where events are no text."""
        ...

    def works(self, question: Question) -> Mapping[str, Sequence[Work]]:
        """What is computed, by `ANSWER_WORK`.

        Raises:
            UserError: The language model has too few positions for it.
        """
        ...

    def kv_bytes(self, question: Question) -> int:
        """Bytes of keys and values that the language model keeps once the question is read."""
        ...

    def stored_bytes(self, question: Question) -> int:
        """Bytes to keep of a user, so that only the question is left to be read."""
        ...


class Outliner(Protocol):
    """Makes outlines: the target of an entry's `outline`."""

    def __call__(self, request: OutlineRequest) -> Outline:
        """The outline of a method with these settings.

        Raises:
            UserError: Settings, language model and tokenizer do not fit together.
        """
        ...
