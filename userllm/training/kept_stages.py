"""Stages whose trained weights are kept, so that a later fit need not train them again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmark.types import Progress, StageReport
from userllm.training.cache import cached_stage, stage_key
from userllm.training.loop import Stage, device_facts, run_stage, training_device
from userllm.training.resume import moving_weights, put_back

_WEIGHTS = "weights.safetensors"


def kept_stage(
    learner: nn.Module, stage: Stage, progress: Progress, cache: Path | None, facts: str
) -> StageReport:
    """Trains a learner as `run_stage` does, or puts in what an earlier call with the same made.

    Args:
        learner: What trains; its weights as they are before the stage are part of the key.
        stage: The stage.
        progress: Where to say how far it is.
        cache: Folder of shared stages; None = nothing is kept.
        facts: Changes with all that the stage depends on and that is neither a weight nor a field
            of the stage: seed, data, what `validate` looks at.
    """
    if cache is None:
        return run_stage(learner, stage, progress)
    moving = moving_weights(learner)
    key = stage_key(
        stage.name,
        facts=facts,
        steps=[stage.steps, stage.looks, stage.patience],
        optimizer=stage.optimizer.model_dump(),
        begins=_digest(learner.state_dict()),
        moving=sorted(moving),
        **device_facts(stage.optimizer, stage.accelerator),
    )

    def build(folder: Path) -> StageReport:
        report = run_stage(learner, stage, progress)
        trained = moving_weights(learner).items()
        save_file({n: v.cpu().clone().contiguous() for n, v in trained}, folder / _WEIGHTS)
        return report

    folder, report = cached_stage(cache, key, build, progress.note)
    if report.reused:
        learner.to(training_device(stage.accelerator))
        put_back(learner, load_file(folder / _WEIGHTS))
        learner.eval()
    return report


def _digest(weights: Mapping[str, Tensor]) -> str:
    """A hash of all weights, bit for bit."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.view(torch.uint8).numpy().tobytes() if value.ndim else b"")
        if not value.ndim:
            digest.update(repr(value.item()).encode())
    return digest.hexdigest()
