"""How the baselines train: one stage, most of them on windows, and the report of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from benchmark.events import EventLog
from benchmark.protocols import CandidateRanker, FitContext
from benchmark.types import FitReport
from userllm.config import FitSettings, OptimizerSettings
from userllm.encoder.windows import endless_windows, targets_per_window
from userllm.trainable import all_parameters, trained_parameters
from userllm.training.loop import Stage, run_stage


@dataclass(frozen=True)
class Material:
    """What a stage learns from.

    Attributes:
        batches: Endless.
        batches_per_epoch: Batches a pass over the data.
        targets_per_batch: Supervised targets in a batch, on average.
    """

    batches: Iterator[Any]
    batches_per_epoch: float
    targets_per_batch: float


def windows_of(
    events: EventLog, length: int, batch_size: int, seed: int, *, supervised: float = 1.0
) -> Material:
    """Windows of at most `length` events.

    Args:
        events: The training events.
        length: See `endless_windows`.
        batch_size: Windows in a batch, on average.
        seed: Seed of cuts and order.
        supervised: Share of the possible targets that carry a loss.
    """
    batches, windows = endless_windows(events, length, batch_size, seed, by_events=True)
    size = min(batch_size, windows)
    targets = size * supervised * targets_per_window(events, windows)
    return Material(batches, windows / size, targets)


def fit_in_one_stage(
    method: CandidateRanker,
    learner: nn.Module,
    material: Material,
    context: FitContext,
    fit: FitSettings,
    optimizer: OptimizerSettings,
) -> FitReport:
    """Trains a learner for `fit.epochs` at most and leaves it at its best look.

    Args:
        method: Ranks at each look; it must use `learner`.
        learner: See `userllm.training.module.Learner`.
        material: What it learns from.
        context: What the harness handed over.
        fit: Epochs, looks and patience.
        optimizer: Its settings.
    """
    steps_per_epoch = material.batches_per_epoch / optimizer.accumulate
    targets_per_step = material.targets_per_batch * optimizer.accumulate
    folder = context.checkpoints
    stage = run_stage(
        learner,
        Stage(
            name="train",
            batches=material.batches,
            steps=fit.steps(steps_per_epoch, targets_per_step),
            steps_per_epoch=steps_per_epoch,
            targets_per_step=targets_per_step,
            optimizer=optimizer,
            accelerator=context.accelerator,
            validate=(lambda: context.validate(method)[context.watch]) if fit.looks else None,
            looks=fit.looks,
            patience=fit.patience,
            checkpoint=None if folder is None else folder / "train.pt",
            key=f"{context.seed} {fit.model_dump_json()} {context.validation}",
        ),
        context.progress,
    )
    return FitReport((stage,), all_parameters(learner), trained_parameters(learner))
