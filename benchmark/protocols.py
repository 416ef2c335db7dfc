"""What a method is and can do. The harness knows methods by these protocols alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

from benchmark.events import EventLog
from benchmark.schema import FeatureSchema
from benchmark.types import Candidates, Catalog, FitReport, HistoryBatch, Progress, Ranking


@dataclass(frozen=True)
class TrainingData:
    """All that a method may learn from. It holds no validation and no test target.

    Attributes:
        name: The data set, for example `ml-100k`.
        fingerprint: SHA-256 of catalogue and training events; caches are keyed by it.
        catalog: The items.
        events: The training events of every user.
    """

    name: str
    fingerprint: str
    catalog: Catalog
    events: EventLog

    @property
    def schema(self) -> FeatureSchema:
        """Features of an event."""
        return self.events.schema


@runtime_checkable
class CandidateRanker(Protocol):
    """Can rank items for a user."""

    history_length: int
    """Most events of a history that the method reads; the harness hands over the latest ones."""

    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        """Ranks the candidates for every history; ties as `benchmark.types.rank_scores` says."""
        ...


@runtime_checkable
class TextGenerator(Protocol):
    """Can write text for a user."""

    def generate(self, histories: HistoryBatch, prompts: list[str]) -> list[str]:
        """Writes one text a history."""
        ...


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
        llm: Hub name or local path of a causal language model; None = the embedded one.
        accelerator: Lightning's accelerator name.
    """

    seed: int
    cache: Path
    validate: Callable[[CandidateRanker], Mapping[str, float]]
    progress: Progress
    validation: str = ""
    llm: str | None = None
    accelerator: str = "cpu"


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
