"""Fits a USER-LLM to events: alignment, then tuning under a strategy. Knows no harness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmark.events import EventLog
from benchmark.types import Progress, StageReport
from userllm.config import UserLLMSettings
from userllm.corpus import held_out_items
from userllm.model import UserLLM
from userllm.projector import Perceiver
from userllm.recompute import checkpoint_activations
from userllm.stages import Alignment, Tuning, alignment_batches
from userllm.trainable import apply_strategy
from userllm.training import Stage, run_stage
from userllm.windows import endless_windows, picked_per_window


@dataclass(frozen=True)
class Fitting:
    """How to fit.

    Attributes:
        seed: Seed of order, dropout and noise.
        progress: Where to say how far it is.
        validate: Value to maximise, to stop early and choose the checkpoint of tuning.
        accelerator: Lightning's name of the device.
        checkpoints: Folder for checkpoints of unfinished stages; None = keep none.
        key: Changes with the data; a checkpoint made under another key is ignored.
    """

    seed: int
    progress: Progress
    validate: Callable[[], float] | None = None
    accelerator: str = "cpu"
    checkpoints: Path | None = None
    key: str = ""

    def checkpoint(self, stage: str) -> Path | None:
        """Where a stage keeps its checkpoint."""
        return None if self.checkpoints is None else self.checkpoints / f"{stage}.pt"

    def stage_key(self, settings: UserLLMSettings) -> str:
        """What a stage depends on beside the data that its optimizer sees."""
        return f"{self.key} {self.seed} {settings.model_dump_json()}"


def fit(model: UserLLM, events: EventLog, fitting: Fitting) -> tuple[StageReport, ...]:
    """Trains what the model's strategy lets train, and leaves it in evaluation mode.

    Args:
        model: With a catalogue; its encoder and language model pretrained as wanted.
        events: Training events.
        fitting: Seed, device and so on.

    Raises:
        FloatingPointError: The loss became NaN or infinite.
    """
    settings = model.settings
    stages: list[StageReport] = []
    blocks = () if model.fusion is None else model.fusion.blocks
    checkpoint_activations(model.llm, settings.gradient_checkpointing, blocks)
    try:
        if settings.align.steps:
            stages.append(_align(model, fitting))
        _let_train(model)
        stages.append(_tune(model, events, fitting))
    finally:
        checkpoint_activations(model.llm, False, blocks)
    return tuple(stages)


def _let_train(model: UserLLM) -> None:
    """Thaws what the strategy lets train, and nothing else."""
    settings, rank = model.settings, model.settings.lora_rank
    apply_strategy(settings.strategy, model.llm, model.encoder, model.bridge(), rank)
    if settings.freeze_encoder:
        model.encoder.requires_grad_(False)


def _align(model: UserLLM, fitting: Fitting) -> StageReport:
    settings, items = model.settings.align, torch.arange(1, model.trie.num_items + 1)
    held_out = _held_out(model)
    if held_out is not None:
        items = items[~held_out[1:]]
    _let_train(model)
    # Only what says titles learns here: the encoder's item table is the fixed side.
    model.encoder.requires_grad_(False)
    if isinstance(model.projector, Perceiver):
        # One event alone cannot teach what to read of a history, only take the latents away from
        # where they begin; that comes with tuning.
        model.projector.rounds.requires_grad_(False)
    size = min(settings.batch_size, len(items))
    a_step = size * settings.optimizer.accumulate
    stage = Stage(
        name="align",
        batches=alignment_batches(items, model.trie.num_items, size, settings, fitting.seed),
        steps=settings.steps,
        steps_per_epoch=len(items) / a_step,
        targets_per_step=0,
        optimizer=settings.optimizer,
        accelerator=fitting.accelerator,
        checkpoint=fitting.checkpoint("align"),
        key=fitting.stage_key(model.settings),
    )
    torch.manual_seed(fitting.seed)
    alignment = Alignment(model, settings.noise)
    return run_stage(alignment, stage, fitting.progress)


def _tune(model: UserLLM, events: EventLog, fitting: Fitting) -> StageReport:
    settings, length = model.settings.tune, model.encoder.history + 1
    batches, windows = endless_windows(events, length, settings.windows, fitting.seed)
    a_step = min(settings.windows, windows) * settings.optimizer.accumulate
    per_step = a_step * picked_per_window(events, length, settings.targets_per_window)
    stage = Stage(
        name="tune",
        batches=batches,
        steps=max(1, round(settings.targets / per_step)),
        steps_per_epoch=windows / a_step,
        targets_per_step=per_step,
        optimizer=settings.optimizer,
        accelerator=fitting.accelerator,
        validate=fitting.validate,
        looks=settings.looks,
        patience=settings.patience,
        checkpoint=fitting.checkpoint("tune"),
        key=fitting.stage_key(model.settings),
    )
    torch.manual_seed(fitting.seed)
    tuning = Tuning(
        model,
        settings.targets_per_window,
        model.settings.encoder_targets,
        _held_out(model),
    )
    return run_stage(tuning, stage, fitting.progress)


def _held_out(model: UserLLM) -> Tensor | None:
    """Items whose text may not be said in training, `BoolTensor[N + 1]`; None where all may."""
    if model.catalog is None or not model.settings.held_out:
        return None
    return torch.from_numpy(held_out_items(model.catalog, model.settings.held_out))
