"""Fits a USER-LLM to events: alignment, then tuning under a strategy. Knows no harness."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmark.events import EventLog
from benchmark.goals import Goal, NextItemGoal
from benchmark.types import IDS, Progress, StageReport
from userllm.config import UserLLMSettings
from userllm.goals.feeds import feed_of, goal_facts, together
from userllm.model import UserLLM
from userllm.projector import Perceiver
from userllm.stages import Alignment, alignment_batches
from userllm.trainable import apply_strategy
from userllm.training.kept_stages import kept_stage
from userllm.training.loop import Stage
from userllm.training.recompute import checkpoint_activations


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
        cache: Folder of stages that several fits share: alignment, and tuning where one tuning
            serves several goals. None = each fit trains its own.
    """

    seed: int
    progress: Progress
    validate: Callable[[], float] | None = None
    accelerator: str = "cpu"
    checkpoints: Path | None = None
    key: str = ""
    cache: Path | None = None

    def checkpoint(self, stage: str) -> Path | None:
        """Where a stage keeps its checkpoint."""
        return None if self.checkpoints is None else self.checkpoints / f"{stage}.pt"

    def stage_key(self, settings: UserLLMSettings) -> str:
        """What a stage depends on beside the data that its optimizer sees."""
        return f"{self.key} {self.seed} {settings.model_dump_json()}"


def fit(
    model: UserLLM,
    events: EventLog,
    fitting: Fitting,
    goals: Sequence[Goal] = (NextItemGoal(),),
) -> tuple[StageReport, ...]:
    """Trains what the model's strategy lets train, and leaves it in evaluation mode.

    Where items have ids for texts, nothing is there to be said of them and alignment is left out.

    Args:
        model: With a catalogue; its encoder and language model pretrained as wanted.
        events: Training events.
        fitting: Seed, device and so on.
        goals: What it is to learn; several are learnt in one stage.

    Raises:
        FloatingPointError: The loss became NaN or infinite.
    """
    settings = model.settings
    stages: list[StageReport] = []
    blocks = () if model.fusion is None else model.fusion.blocks
    checkpoint_activations(model.llm, settings.gradient_checkpointing, blocks)
    try:
        if settings.align.steps and model.catalog is not None and model.catalog.text_source != IDS:
            stages.append(_align(model, fitting))
        _let_train(model)
        stages.append(_tune(model, events, fitting, goals))
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
    held_out = model.held_out
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
    facts = f"{fitting.seed} {_alignment_facts(model)}"
    return kept_stage(alignment, stage, fitting.progress, fitting.cache, facts)


def _alignment_facts(model: UserLLM) -> str:
    """What alignment depends on beside weights, optimizer and seed."""
    settings = model.settings.model_dump_json(exclude={"tune", "decoding", "beams"})
    return f"{settings} {hashlib.sha256(repr(model.titles).encode()).hexdigest()}"


def _tune(model: UserLLM, events: EventLog, fitting: Fitting, goals: Sequence[Goal]) -> StageReport:
    settings = model.settings.tune
    feed = together([feed_of(goal, model, events, fitting.seed) for goal in goals])
    facts = fitting.stage_key(model.settings)
    if any(not isinstance(goal, NextItemGoal) for goal in goals):
        facts = " ".join([facts, *map(goal_facts, goals)])
    stage = Stage(
        name="tune",
        batches=feed.batches,
        steps=feed.steps,
        steps_per_epoch=feed.steps_per_epoch,
        targets_per_step=feed.targets_per_step,
        optimizer=settings.optimizer,
        accelerator=fitting.accelerator,
        validate=fitting.validate,
        looks=settings.looks,
        patience=settings.patience,
        checkpoint=fitting.checkpoint("tune"),
        key=facts,
    )
    torch.manual_seed(fitting.seed)
    cache = fitting.cache if len(goals) > 1 else None
    return kept_stage(feed.learner, stage, fitting.progress, cache, facts)
