"""A baseline's model as a user encoder: trained once, for its own row and for the encoder slot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file, save_file

from baselines.config import Bert4RecSettings, DualEncoderSettings
from baselines.window_stage import Material, fit_in_one_stage
from benchmark.protocols import BuiltEncoder, CandidateRanker, FitContext, TrainingData
from benchmark.types import FitReport, StageReport
from userllm.cache import cached_stage, stage_key
from userllm.event_encoder import EventEncoder
from userllm.trainable import all_parameters
from userllm.training import device_facts, training_device

_WEIGHTS = "model.safetensors"


def train_once(
    name: str,
    model: EventEncoder,
    ranker: CandidateRanker,
    material: Material,
    data: TrainingData,
    settings: DualEncoderSettings | Bert4RecSettings,
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
        settings=settings.model_dump(),
        seed=context.seed,
        **device_facts(settings.optimizer, context.accelerator),
    )
    folder, report = cached_stage(context.cache, key, build)
    model.load_state_dict(load_file(folder / _WEIGHTS))
    model.to(training_device(context.accelerator)).eval()
    return report


def report_of(model: EventEncoder, stage: StageReport) -> FitReport:
    """The report of a method that is the model alone."""
    size = all_parameters(model)
    return FitReport((stage,), size, size)


def in_slot(model: EventEncoder, stage: StageReport | None) -> BuiltEncoder:
    """The model as what stands in the encoder slot; untrained where there is no stage."""
    stages = () if stage is None else (replace(stage, name="encoder"),)
    return BuiltEncoder(model.eval(), stages)
