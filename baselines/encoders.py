"""A baseline's model as a user encoder: trained once, for its own rows and for the encoder slot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from baselines.config import EncoderSettings
from baselines.window_stage import Material, fit_in_one_stage
from benchmark.goals import LabelGoal
from benchmark.protocols import (
    USER_ENCODER,
    BuiltEncoder,
    CandidateRanker,
    FitContext,
    TrainingData,
)
from benchmark.types import Candidates, FitReport, HistoryBatch, Ranking, StageReport, rank_scores
from userllm.encoder.event_encoder import EventEncoder
from userllm.goals.label_fit import finish_fit
from userllm.goals.label_head import LabelModel
from userllm.training.cache import cached_stage, stage_key
from userllm.training.loop import device_facts, training_device

_WEIGHTS = "model.safetensors"
_HEAD = "label"
"""Settings that next items do not depend on."""

Model = TypeVar("Model", bound=EventEncoder)


class EncoderBaseline(ABC, Generic[Model]):
    """A method whose model is a user encoder: it ranks items, and labels by a head on its states.

    For items it is the model, trained to predict the next one. For labels the model is trained
    so first, on what all tasks share, then gets a head; see `userllm.goals.label_head`.

    Args:
        settings: Its settings.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        self.settings = settings
        self.history_length = settings.fit.history
        self.model: Model | None = None
        self.labels: LabelModel | None = None

    @abstractmethod
    def new_model(self, data: TrainingData, seed: int) -> Model:
        """A model with random weights."""

    @abstractmethod
    def train(self, data: TrainingData, context: FitContext) -> StageReport:
        """Trains the fresh model to predict next items, or takes its weights from the cache."""

    def fit(self, data: TrainingData, context: FitContext) -> FitReport:
        """See `benchmark.protocols.Method`."""
        general = context.for_sharing(data)
        self.model = self.new_model(general[0], context.seed)
        stage = self.train(*general)
        self.labels, report = finish_fit(self.model, (stage,), self.settings.label, data, context)
        return report

    @torch.no_grad()
    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        """See `benchmark.protocols.CandidateRanker`; by the model's own distribution."""
        assert self.model is not None, "fit first"
        histories = histories.to(next(self.model.parameters()).device)
        return rank_scores(self.model.log_probs(histories).cpu(), candidates, k, log_probs=True)

    def rank_labels(self, histories: HistoryBatch, goal: LabelGoal) -> Tensor:
        """See `benchmark.protocols.LabelRanker`."""
        assert self.labels is not None, "fit for labels first"
        return self.labels.rank_labels(histories, goal)

    def parts(self) -> Mapping[str, nn.Module]:
        """See `benchmark.protocols.Profiled`."""
        assert self.model is not None, "fit first"
        return {USER_ENCODER: self.model}

    def state(self) -> Mapping[str, Tensor]:
        """Every weight by name."""
        assert self.model is not None, "fit first"
        return (self.labels or self.model).state_dict()


def train_once(
    name: str,
    model: EventEncoder,
    ranker: CandidateRanker,
    material: Material,
    data: TrainingData,
    settings: EncoderSettings,
    context: FitContext,
) -> StageReport:
    """Trains a model, or takes its weights from the cache; leaves it to evaluate where it trains.

    Args:
        name: Of the model, for the cache.
        model: With fresh weights that follow from data, settings and seed.
        ranker: Ranks with the model at each look.
        material: What it learns from.
        data: Its fingerprint is part of the cache's key.
        settings: All that the result depends on beside data and seed.
        context: What the harness handed over.
    """

    def build(folder: Path) -> StageReport:
        report = fit_in_one_stage(
            ranker, model, material, context, settings.fit, settings.optimizer
        )
        save_file(model.state_dict(), folder / _WEIGHTS)
        return report.stages[0]

    key = stage_key(
        name,
        data=f"{data.fingerprint}/{context.validation}",
        settings=settings.model_dump(exclude={_HEAD}),
        seed=context.seed,
        **device_facts(settings.optimizer, context.accelerator),
    )
    folder, report = cached_stage(context.cache, key, build, context.progress.note)
    model.load_state_dict(load_file(folder / _WEIGHTS))
    model.to(training_device(context.accelerator)).eval()
    return report


def in_slot(
    method: EncoderBaseline[Model], data: TrainingData, context: FitContext, pretrained: bool
) -> BuiltEncoder:
    """A method's model as what stands in the encoder slot; see `EncoderBuilder`."""
    model = method.model = method.new_model(data, context.seed)
    stages = (replace(method.train(data, context), name="encoder"),) if pretrained else ()
    return BuiltEncoder(model.eval(), stages)
