"""Pretraining of the user encoder as a shared, cached stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from benchmark.events import EventLog
from benchmark.types import Progress, StageReport
from userllm.cache import cached_stage, stage_key
from userllm.config import UserEncoderSettings
from userllm.objectives import NextEventObjective
from userllm.training import Stage, device_facts, run_stage, training_device
from userllm.user_encoder import UserEncoder
from userllm.windows import endless_windows, targets_per_window

_WEIGHTS = "encoder.safetensors"


def new_encoder(log: EventLog, settings: UserEncoderSettings, seed: int) -> UserEncoder:
    """An encoder with random weights, in evaluation mode.

    Args:
        log: Training events; they say which features there are.
        settings: Size and features.
        seed: Seed of the weights.

    Raises:
        UserError: The settings name a feature that the events do not have.
    """
    named = settings.features
    schema = log.schema.given if named is None else log.schema.subset(named)
    torch.manual_seed(seed)
    return UserEncoder(schema, settings.transformer, settings.fit.history).eval()


def pretrain(
    encoder: UserEncoder,
    log: EventLog,
    settings: UserEncoderSettings,
    *,
    seed: int,
    progress: Progress,
    validate: Callable[[UserEncoder], float] | None = None,
    accelerator: str = "cpu",
    checkpoint: Path | None = None,
    key: str = "",
) -> StageReport:
    """Trains an encoder to predict every feature of the next event.

    Arguments as in `pretrained_encoder`, and as in `userllm.training.Stage`.
    """
    objective = NextEventObjective(encoder, settings.auxiliary)
    fit = settings.fit
    batches, windows = endless_windows(log, fit.history + 1, fit.batch_size, seed)
    a_step = min(fit.batch_size, windows) * settings.optimizer.accumulate
    per_epoch = windows / a_step
    stage = Stage(
        name="encoder",
        batches=batches,
        steps=max(1, round(fit.epochs * per_epoch)),
        steps_per_epoch=per_epoch,
        targets_per_step=targets_per_window(log, windows) * a_step,
        optimizer=settings.optimizer,
        accelerator=accelerator,
        validate=None if validate is None else lambda: validate(encoder),
        looks=fit.looks,
        patience=fit.patience,
        checkpoint=checkpoint,
        key=key,
    )
    return run_stage(objective, stage, progress)


def pretrained_encoder(
    log: EventLog,
    settings: UserEncoderSettings,
    *,
    seed: int,
    fingerprint: str,
    cache: Path,
    progress: Progress,
    validate: Callable[[UserEncoder], float] | None = None,
    accelerator: str = "cpu",
    checkpoints: Path | None = None,
) -> tuple[UserEncoder, StageReport]:
    """Pretrains an encoder on training events, or takes it from the cache, to where it trains.

    Args:
        log: Training events.
        settings: Size and training.
        seed: Seed of weights, order and dropout.
        fingerprint: Changes with everything in `log` and with what `validate` looks at.
        cache: Folder of shared stages.
        progress: Where to say how far it is.
        validate: Value to maximise, to stop early and choose the checkpoint.
        accelerator: Lightning's name of the device.
        checkpoints: Folder for checkpoints of unfinished stages; None = keep none.

    Raises:
        UserError: The settings name a feature that the events do not have.
    """
    encoder = new_encoder(log, settings, seed)

    def build(folder: Path) -> StageReport:
        report = pretrain(
            encoder,
            log,
            settings,
            seed=seed,
            progress=progress,
            validate=validate,
            accelerator=accelerator,
            checkpoint=None if checkpoints is None else checkpoints / "encoder.pt",
            key=key,
        )
        save_file(encoder.state_dict(), folder / _WEIGHTS)
        return report

    key = stage_key(
        "encoder",
        data=fingerprint,
        schema=encoder.schema.fingerprint(),
        settings=settings.model_dump(),
        seed=seed,
        **device_facts(settings.optimizer, accelerator),
    )
    folder, report = cached_stage(cache, key, build)
    encoder.load_state_dict(load_file(folder / _WEIGHTS))
    return encoder.to(training_device(accelerator)).eval(), report
