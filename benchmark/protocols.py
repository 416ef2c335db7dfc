"""What a method is and can do. The harness knows methods by these protocols alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from benchmark.events import EventLog
from benchmark.goals import Decoding, Goal, LabelGoal, NextItemGoal
from benchmark.schema import FeatureSchema
from benchmark.types import (
    Candidates,
    Catalog,
    FitReport,
    HistoryBatch,
    Progress,
    PromptTokens,
    Ranking,
    StageReport,
)

USER_ENCODER, PROJECTOR, LLM = "user_encoder", "projector", "llm"
"""Parts of a method, see `Profiled`."""


@dataclass(frozen=True)
class TrainingData:
    """All that a method may learn from. It holds no validation and no test target.

    Attributes:
        name: The data set, for example `ml-100k`.
        fingerprint: SHA-256 of catalogue and training events; caches are keyed by it.
        catalog: The items.
        events: The training events of every user.
        label_feature: The item feature whose values are the labels of `favorite_genre`; "" = none.
    """

    name: str
    fingerprint: str
    catalog: Catalog
    events: EventLog
    label_feature: str = ""

    @property
    def schema(self) -> FeatureSchema:
        """Features of an event."""
        return self.events.schema


@runtime_checkable
class CandidateRanker(Protocol):
    """Can rank items for a user."""

    history_length: int
    """Most events of a history that the method reads, 0 = none; it gets the latest ones."""

    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        """Ranks the candidates for every history; ties as `benchmark.types.rank_scores` says."""
        ...


@runtime_checkable
class LabelRanker(Protocol):
    """Can say which of a few labels a history stands for."""

    history_length: int

    def rank_labels(self, histories: HistoryBatch, goal: LabelGoal) -> Tensor:
        """Scores of the labels.

        Args:
            histories: Of `B` users.
            goal: One of those that the method was fitted for.

        Returns:
            `FloatTensor[B, C]`, higher is likelier; of equal scores the first label comes first.
        """
        ...


@runtime_checkable
class TextGenerator(Protocol):
    """Can write text for a user."""

    history_length: int

    def generate(
        self, histories: HistoryBatch, prompts: list[str], items: Tensor, decoding: Decoding
    ) -> list[str]:
        """Writes one text a history.

        Args:
            histories: Of `B` users, with what they wrote (`HistoryBatch.written`).
            prompts: What is told of the event that is written about.
            items: `LongTensor[B]` the item of that event.
            decoding: How to write.

        Returns:
            `B` texts, without the prompts.
        """
        ...


@dataclass(frozen=True)
class BuiltEncoder:
    """A user encoder that the harness built and hands to a method; see `registrations.ENCODERS`.

    Attributes:
        module: The encoder.
        stages: What its training took; none where it has random weights.
    """

    module: nn.Module
    stages: tuple[StageReport, ...] = ()


@dataclass(frozen=True)
class Shared:
    """What a stage learns from that serves several tasks: it ends before the targets of all.

    Attributes:
        data: Training events up to the earliest cut of the tasks.
        validate: Ranks the next item after that cut.
        validation: See `FitContext.validation`.
    """

    data: TrainingData
    validate: Callable[[CandidateRanker], Mapping[str, float]]
    validation: str


@dataclass(frozen=True)
class FitContext:
    """What the harness hands a method beside the data.

    Attributes:
        seed: Seed of everything random.
        cache: Folder for stages that several methods or runs share (keyed by content).
        validate: Ranks the validation examples and returns metric values; the only use a method
            may make of them is to stop and to choose between its own checkpoints.
        validation: Changes with what `validate` looks at; part of the key of a cached stage.
        progress: See `Progress`.
        encoder: The user encoder, for methods that take one.
        llm: Hub name or local path of a causal language model; None = the embedded one.
        accelerator: Lightning's accelerator name.
        checkpoints: Folder for checkpoints of unfinished stages, of this fit alone; None = keep
            none. The harness removes it when the fit's record is in place.
        goals: What the method is to be fitted for; several where one fit serves several tasks.
        watch: Which of the values of `validate` decides between checkpoints.
        shared: What stages learn from that other tasks use too; None = from the fit's own data.
    """

    seed: int
    cache: Path
    validate: Callable[[Any], Mapping[str, float]]
    progress: Progress
    validation: str = ""
    encoder: BuiltEncoder | None = None
    llm: str | None = None
    accelerator: str = "cpu"
    checkpoints: Path | None = None
    goals: tuple[Goal, ...] = (NextItemGoal(),)
    watch: str = "recall@10"
    shared: Shared | None = None

    def for_sharing(self, data: TrainingData) -> tuple[TrainingData, FitContext]:
        """Data and context of a stage that learns the next item and serves other tasks too.

        Args:
            data: The fit's own.
        """
        shared = self.shared
        if shared is None:
            return data, self
        general = replace(
            self,
            validate=shared.validate,
            validation=shared.validation,
            goals=(NextItemGoal(),),
            watch="recall@10",
            shared=None,
        )
        return shared.data, general


class EncoderBuilder(Protocol):
    """Builds what stands in the encoder slot: the target of an entry of the table of encoders."""

    def __call__(
        self, data: TrainingData, settings: Any, context: FitContext, pretrained: bool = True
    ) -> BuiltEncoder:
        """Builds an encoder.

        Args:
            data: What it may learn from.
            settings: Those of its section.
            context: As for `Method.fit`.
            pretrained: Trained to predict the next event; else random weights from the seed.

        Raises:
            UserError: The settings do not fit the data.
        """
        ...


@runtime_checkable
class Saveable(Protocol):
    """Keeps its fitted model, so that a finished cell can be asked again; see `probing`."""

    def save(self, folder: Path) -> None:
        """Writes the fitted model into an empty folder, as safetensors and JSON."""
        ...

    def restore(self, folder: Path, data: TrainingData, context: FitContext) -> None:
        """Becomes the method that `save` wrote, in place of `fit`.

        Args:
            folder: Where `save` wrote.
            data: What the method was fitted on.
            context: As for `fit`; its encoder, where there is one, has random weights.

        Raises:
            UserError: The folder holds no such model.
        """
        ...


@runtime_checkable
class FeatureReader(Protocol):
    """Knows which features of an event it reads; others are taken to read all."""

    @property
    def features_read(self) -> tuple[str, ...]:
        """Names of features, known once the method is fitted or restored."""
        ...


@runtime_checkable
class Muted(Protocol):
    """Holds a language model that can be made to answer as if there were no user."""

    def muted(self) -> AbstractContextManager[None]:
        """While this is open, nothing of the user vectors reaches the language model."""
        ...


@runtime_checkable
class Checked(Protocol):
    """Knows what of its settings cannot work, before anything is trained."""

    def check(self, data: TrainingData, context: FitContext) -> None:
        """Looks at settings, data and language model; trains nothing and keeps nothing.

        Args:
            data: As for `Method.fit`.
            context: As for `Method.fit`, but without an encoder.

        Raises:
            UserError: Something cannot work; one line that says what could.
        """
        ...


@runtime_checkable
class Profiled(Protocol):
    """Can be taken apart, so that the cost of an answer can be told part by part."""

    def parts(self) -> Mapping[str, nn.Module]:
        """Modules by what they do for an answer: some of `USER_ENCODER`, `PROJECTOR`, `LLM`.

        The language model's is the one that reads tokens and whose `config` is Hugging Face's.
        """
        ...


@runtime_checkable
class PromptReader(Protocol):
    """Has a language model read something for every question."""

    @property
    def tokenizer(self) -> Any:
        """The language model's tokenizer."""
        ...

    def prompt_tokens(
        self, histories: HistoryBatch, goal: Goal, prompts: Sequence[str] = ()
    ) -> PromptTokens:
        """What the language model reads before it answers.

        Args:
            histories: Of `B` users, with what they wrote.
            goal: What is asked; one that the method was fitted for.
            prompts: `B` prompts of texts, where it asks for them.
        """
        ...


class Method(Protocol):
    """A way to personalise. Built from its settings model, then fitted once."""

    def fit(self, data: TrainingData, context: FitContext) -> FitReport:
        """Learns from the training events.

        Raises:
            FloatingPointError: The loss became NaN or infinite.
        """
        ...

    def state(self) -> Mapping[str, Tensor]:
        """Every fitted weight by name."""
        ...
