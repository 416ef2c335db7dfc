"""What a method is fitted for: one goal a task. Part of the shared kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LabelNames = tuple[str, ...]


@dataclass(frozen=True)
class NextItemGoal:
    """Say which item comes next; every training event but a user's first is an example."""

    task: str = "next_item"


@dataclass(frozen=True)
class LabelGoal:
    """Say which of a few labels a history stands for.

    Attributes:
        task: The task.
        query: What asks a language model for the label; few tokens, the same for every user.
        labels: Names of the `C` labels; index c of a row of scores is `labels[c]`.
        starts: `[n]` positions in the training events: a history is `events[start:stop]`.
        stops: `[n]`.
        right: `BoolArray[n, C]`, True = a right answer; several are where labels are tied.
    """

    task: str
    query: str
    labels: LabelNames
    starts: np.ndarray
    stops: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class TextGoal:
    """Write what a user writes at an event.

    Attributes:
        task: The task.
        field: Field of `EventLog.written`.
        starts: `[n]` positions in the training events: a history is `events[start:stop]`.
        stops: `[n]`; the event at `stop` is the one that is written about.
        prompts: `n` texts: what is told of the event, up to where the text begins.
        references: `n` texts that users wrote.
        longest: Most tokens of a text.
    """

    task: str
    field: str
    starts: np.ndarray
    stops: np.ndarray
    prompts: Sequence[str]
    references: Sequence[str]
    longest: int = 64


Goal = NextItemGoal | LabelGoal | TextGoal


@dataclass(frozen=True)
class Decoding:
    """How a text is written.

    Attributes:
        longest: Most tokens.
        sample: Draw tokens instead of taking the likeliest.
        temperature: Divides the logits where tokens are drawn.
        top_p: Tokens are drawn from the likeliest that hold this much probability.
        seed: Of drawing.
    """

    longest: int = 64
    sample: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
