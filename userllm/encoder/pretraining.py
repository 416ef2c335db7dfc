"""Pretraining of the user encoder as a shared, cached stage."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmark.events import EventLog
from benchmark.types import Progress, StageReport
from userllm.config import UserEncoderSettings
from userllm.encoder.objectives import NextEventObjective
from userllm.encoder.user_encoder import UserEncoder
from userllm.encoder.windows import endless_windows, targets_per_window
from userllm.training.cache import cached_stage, stage_key
from userllm.training.loop import Stage, device_facts, run_stage, training_device

_WEIGHTS = "encoder.safetensors"


def new_encoder(
    log: EventLog, settings: UserEncoderSettings, seed: int, text: Tensor | None = None
) -> UserEncoder:
    """An encoder with random weights, in evaluation mode.

    Args:
        log: Training events; they say which features there are.
        settings: Size and features.
        seed: Seed of the weights.
        text: From `userllm.encoder.item_text.item_vectors`.

    Raises:
        UserError: The settings name a feature that the events do not have.
        ValueError: The settings ask for text and there is none, or the other way round.
    """
    torch.manual_seed(seed)
    encoder = UserEncoder.planned(log.schema, settings, text).eval()
    encoder.meet(log.items)
    return encoder


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

    Arguments as in `pretrained_encoder`, and as in `userllm.training.loop.Stage`.
    """
    encoder.meet(log.items)
    objective = NextEventObjective(encoder, settings.auxiliary, settings.text.id_dropout)
    fit = settings.fit
    batches, windows = endless_windows(log, fit.history + 1, fit.batch_size, seed)
    a_step = min(fit.batch_size, windows) * settings.optimizer.accumulate
    per_epoch = windows / a_step
    per_step = targets_per_window(log, windows) * a_step
    stage = Stage(
        name="encoder",
        batches=batches,
        steps=fit.steps(per_epoch, per_step),
        steps_per_epoch=per_epoch,
        targets_per_step=per_step,
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
    text: Tensor | None = None,
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
        text: From `userllm.encoder.item_text.item_vectors`.

    Raises:
        UserError: The settings name a feature that the events do not have.
        ValueError: See `new_encoder`.
    """
    encoder = new_encoder(log, settings, seed, text)

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
        seed=seed,
        **_text_facts(settings, text),
        **device_facts(settings.optimizer, accelerator),
    )
    folder, report = cached_stage(cache, key, build, progress.note)
    encoder.load_state_dict(load_file(folder / _WEIGHTS))
    return encoder.to(training_device(accelerator)).eval(), report


def _text_facts(settings: UserEncoderSettings, text: Tensor | None) -> dict[str, Any]:
    """What the stage's key says of the settings: nothing of text where none is read."""
    if text is None:
        return {"settings": settings.model_dump(exclude={"item_text", "text", "label"})}
    vectors = sha256(text.contiguous().numpy().tobytes()).hexdigest()
    return {
        "settings": settings.model_dump(exclude={"text": {"language_model"}, "label": True}),
        "text": vectors,
    }
