"""What flows between the parts: the catalogue, batches of histories, rankings, reports.

Shape letters used in the whole project: `B` batch, `L` history, `D` encoder width, `Q` latents,
`T` text tokens, `E` language-model width, `N` items of the catalogue, `K` cut-off, `V` values of
a multi-valued feature. Masks: True = keep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from benchmark.schema import PADDING, IdMap

TITLES = "titles"
SUMMARIES = "summaries of training reviews"
IDS = "ids"
TEXT_SOURCES = (TITLES, SUMMARIES, IDS)
"""Where items' texts come from; ids are nothing that a language model should have to say."""


@dataclass(frozen=True)
class Catalog:
    """The items: their text and their features, known to everybody before training.

    Attributes:
        items: External item ids.
        texts: What the language model may say for an item; position i is item i, position 0 is "".
        columns: Item features by internal id, `[N + 1]` or `[N + 1, V]`; row 0 is padding.
        text_source: What the texts are, one of `TEXT_SOURCES`.
    """

    items: IdMap
    texts: Sequence[str]
    columns: Mapping[str, np.ndarray]
    text_source: str = TITLES

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.items) + 1:
            raise ValueError("a catalogue needs one text an item, and one for padding")

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def named(self) -> np.ndarray:
        """`BoolArray[N + 1]`, True = the item's text is more than its id, which tells nothing.

        Where every item's title is its id, ids are words, and all are named.
        """
        ids = self.items.external_ids
        own = [text != name for text, name in zip(self.texts[1:], ids, strict=True)]
        if self.text_source == TITLES and not any(own):
            own = [True] * len(own)
        return np.array([False, *own], dtype=bool) & (self.text_source != IDS)


@dataclass(frozen=True)
class HistoryBatch:
    """A batch of users' histories, oldest event first, padded on the right.

    Attributes:
        features: `LongTensor[B, L]` a feature, `[B, L, V]` for a multi-valued one; 0 = padding.
        mask: `BoolTensor[B, L]`, True = real event.
        users: `LongTensor[B]` internal user ids, 0 = unknown, or None; only methods that learn a
            vector a user (some of RecBole's) read them.
        written: What each user wrote at each of the real events, by field; empty where the task
            does not ask for text.
    """

    features: Mapping[str, Tensor]
    mask: Tensor
    users: Tensor | None = None
    written: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.mask.shape[0]

    @property
    def lengths(self) -> Tensor:
        """Number of real events of each user, `LongTensor[B]`."""
        return self.mask.sum(dim=1)

    def to(self, device: torch.device | str) -> HistoryBatch:
        """The same batch on another device."""
        features = {name: value.to(device) for name, value in self.features.items()}
        users = None if self.users is None else self.users.to(device)
        return HistoryBatch(features, self.mask.to(device), users, self.written)

    def rows(self, index: Tensor | slice) -> HistoryBatch:
        """Some rows of the batch."""
        features = {name: value[index] for name, value in self.features.items()}
        users = None if self.users is None else self.users[index]
        rows = torch.arange(len(self))[index.cpu() if isinstance(index, Tensor) else index]
        written = {name: [texts[row] for row in rows] for name, texts in self.written.items()}
        return HistoryBatch(features, self.mask[index], users, written)


@dataclass(frozen=True)
class Candidates:
    """What is to be ranked: the catalogue's items 1..N, less those excluded for a user.

    Attributes:
        count: `N`.
        exclude: `BoolTensor[B, N + 1]`, True = leave this item out for this user; None = none.
    """

    count: int
    exclude: Tensor | None = None


@dataclass(frozen=True)
class Ranking:
    """A method's answer: for each user the best items, best first.

    Attributes:
        ids: `LongTensor[B, K]` internal item ids; 0 where fewer than K candidates are left.
        scores: `FloatTensor[B, K]` their scores.
        all_scores: `FloatTensor[B, N + 1]` the score of every item before exclusion, where the
            method knows it; column 0 is padding. The harness reads the target's exact rank off it.
        log_probs: True where `all_scores` are log-probabilities that sum to one over 1..N.
        complete: False where the method may name fewer items than it was asked for.
        strays: `FloatTensor[B]` share of a user's answers that are no item of the catalogue, where
            the method answers in free text.
    """

    ids: Tensor
    scores: Tensor
    all_scores: Tensor | None = None
    log_probs: bool = False
    complete: bool = True
    strays: Tensor | None = None


def masked_scores(scores: Tensor, candidates: Candidates) -> Tensor:
    """Scores `[B, N + 1]` with padding and excluded items, and only those, at minus infinity.

    A copy. An item that may be ranked but has the score minus infinity (a probability of zero)
    gets the lowest finite number, so that it still comes before what may not be ranked.
    """
    masked = scores.clamp(min=torch.finfo(scores.dtype).min)
    masked[:, PADDING] = -torch.inf
    if candidates.exclude is not None:
        masked.masked_fill_(candidates.exclude, -torch.inf)
    return masked


def rank_scores(
    scores: Tensor, candidates: Candidates, k: int, *, log_probs: bool = False
) -> Ranking:
    """Ranks the whole catalogue by score.

    Equal scores are settled by catalogue order: the item with the lower internal id comes first.

    Args:
        scores: `FloatTensor[B, N + 1]`, column 0 ignored.
        candidates: What may be ranked.
        k: Cut-off.
        log_probs: See `Ranking.log_probs`.

    Raises:
        FloatingPointError: A score is NaN.
        ValueError: The scores are not one column an item, and one for padding.
    """
    if scores.shape[1] != candidates.count + 1:
        raise ValueError(f"{candidates.count + 1} columns expected, got {scores.shape[1]}")
    if torch.isnan(scores[:, 1:]).any():
        raise FloatingPointError("a method returned NaN scores")
    masked = masked_scores(scores, candidates)
    k = min(k, candidates.count)
    # Ascending ids first, then a stable sort by score: ties inside the top k fall in id order.
    ids = masked.topk(k, dim=1).indices.sort(dim=1).values
    order = masked.gather(1, ids).sort(dim=1, descending=True, stable=True)
    ids = ids.gather(1, order.indices)
    # A tie across the cut-off leaves topk free to pick any of its members: redo those rows whole.
    cut = order.values[:, -1:]
    unsettled = ((masked >= cut).sum(dim=1) > k) & (cut[:, 0] > -torch.inf)
    if unsettled.any():
        redone = masked[unsettled].sort(dim=1, descending=True, stable=True)
        ids[unsettled] = redone.indices[:, :k]
    best = masked.gather(1, ids)
    ids = ids.masked_fill(best == -torch.inf, PADDING)
    return Ranking(ids=ids, scores=best, all_scores=scores, log_probs=log_probs)


@dataclass(frozen=True)
class PromptTokens:
    """What a language model reads before it answers.

    Attributes:
        tokens: `[B]` tokens of each question; soft prompts are no tokens.
        dropped: `[B]` events that were left out, the oldest first, for want of positions.
    """

    tokens: Sequence[int]
    dropped: Sequence[int]


@dataclass(frozen=True)
class CurvePoint:
    """One look at the validation split while training."""

    seconds: float
    step: int
    value: float


@dataclass(frozen=True)
class StageReport:
    """What one training stage took.

    Attributes:
        name: For example `encoder`, `language_model`, `align`, `tune`.
        seconds: Wall-clock time of training, validation not counted.
        steps: Optimizer steps.
        epochs: Passes over the stage's windows (may be a fraction).
        targets: Supervised targets seen, with repetition.
        reused: True where the stage was found in the cache; its numbers are those of its making.
        stopped: `budget` or `early` (validation stopped getting better).
        curve: Validation values over the stage's training seconds.
        flops: Arithmetic of all its steps, forward and backward, multiply-add = 2; that of a few
            metered ones, taken as the mean.
        waited_seconds: Time until another process had made the stage, which nothing else counts.
    """

    name: str
    seconds: float
    steps: int = 0
    epochs: float = 0.0
    targets: int = 0
    reused: bool = False
    stopped: str = "budget"
    curve: tuple[CurvePoint, ...] = ()
    flops: float = 0.0
    waited_seconds: float = 0.0


@dataclass(frozen=True)
class TextScores:
    """How likely a language model finds some lines of text.

    Attributes:
        nll: `[n]` negative log-likelihood of each line, summed over its tokens, nats.
        tokens: `[n]` tokens of each line that were scored.
    """

    nll: np.ndarray
    tokens: np.ndarray


@dataclass(frozen=True)
class FitReport:
    """What fitting a method took: its stages in order, and the size of what came out.

    Attributes:
        stages: In the order they ran.
        parameters: All parameters that an answer needs.
        trained_parameters: Those that the last stage could change.
        notes: Facts that a reader of the row must know, for example "checkpoint of step 300".
        texts: Scores of text that no training has seen, by what was asked, where the settings hold
            some text out.
    """

    stages: tuple[StageReport, ...]
    parameters: int = 0
    trained_parameters: int = 0
    notes: tuple[str, ...] = field(default=())
    texts: Mapping[str, TextScores] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Training seconds, every stage counted, reused ones too."""
        return sum(stage.seconds for stage in self.stages)


@runtime_checkable
class Progress(Protocol):
    """Where a method says how far it is."""

    def stage(self, name: str, total_epochs: float | None = None) -> None:
        """A stage begins."""
        ...

    def update(self, epoch: float, loss: float | None = None, value: float | None = None) -> None:
        """The stage is at `epoch`, with the running loss or a validation value."""
        ...

    def note(self, text: str) -> None:
        """A line the reader should see."""
        ...
