"""One training stage by Lightning: a fixed number of steps, looks at validation, the best kept."""

from __future__ import annotations

import hashlib
import json
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from benchmark.errors import RunError
from benchmark.system import ranks
from benchmark.types import Progress, StageReport
from userllm.config import OptimizerSettings
from userllm.training.cache import versions
from userllm.training.dividing import Divider, parts_of
from userllm.training.engines import make_trainer
from userllm.training.modes import train_mode
from userllm.training.module import TrainingModule
from userllm.training.rehearsal import open_rehearsal
from userllm.training.resume import FORMAT, CheckpointFile, moving_weights
from userllm.training.sharding import is_sharded
from userllm.training.watch import Watch

_Precision = Literal["32-true", "bf16-mixed"]


@dataclass(frozen=True)
class Stage:
    """What to train on and how long.

    Attributes:
        name: For reports and progress.
        batches: Endless iterator of ready batches, the same ones whenever it is made anew.
        steps: Optimizer steps, each on `optimizer.accumulate` batches.
        steps_per_epoch: To report progress in passes over the data.
        targets_per_step: Supervised targets of a step, on average.
        optimizer: Settings of the optimizer.
        accelerator: Lightning's name of the device.
        validate: Returns the value to maximise; None = never look.
        looks: How often to look, evenly spread; the last look is at the end.
        patience: Looks without a better value before stopping; 0 = never stop early.
        checkpoint: File to go on from where it exists, and to save to: now and then, when
            interrupted and at the end. Whoever named it removes it. None = nothing is saved.
        key: Changes with all that the stage depends on and that is no field here; a checkpoint
            of another key is ignored.
        save_every_seconds: How often to save, less often where saving is slow; 0 = at every step.
    """

    name: str
    batches: Iterator[Any]
    steps: int
    steps_per_epoch: float
    targets_per_step: float
    optimizer: OptimizerSettings
    accelerator: str = "cpu"
    validate: Callable[[], float] | None = None
    looks: int = 0
    patience: int = 0
    checkpoint: Path | None = None
    key: str = ""
    save_every_seconds: float = 60.0


def run_stage(learner: nn.Module, stage: Stage, progress: Progress) -> StageReport:
    """Trains a learner (see `userllm.training.module.Learner`) and leaves it at its best look.

    Without looks it is left as it is after the last step. A stage that goes on from a checkpoint
    gives the same losses, looks and weights as one that was never interrupted. Inside of
    `userllm.training.rehearsal.rehearsing` nothing is trained.

    The learner is moved to the stage's device and stays there: looks, and whatever is asked of it
    later, find it in one place.

    Raises:
        FloatingPointError: The loss became NaN or infinite; it names the stage.
        KeyboardInterrupt: The user interrupted.
    """
    progress.stage(stage.name, stage.steps / stage.steps_per_epoch)
    train_mode(learner)
    device = training_device(stage.accelerator)
    learner.to(device)
    file = saved = None
    if stage.checkpoint is not None:
        file = CheckpointFile(stage.checkpoint, _owner(learner, stage), progress)
        ranks.agreed(None)  # who writes checkpoints is here, and so done with the last one
        saved = file.load()
    rehearsal = open_rehearsal()
    if rehearsal is not None:
        begun = 0 if saved is None else int(saved["standing"]["step"])
        half = precision(stage.optimizer, stage.accelerator) == "bf16-mixed"
        return rehearsal.of(learner, stage, device, begun, half)
    watch = Watch(learner, stage, progress, file, saved)
    if ranks.agreed(watch.at.step) != watch.at.step:
        raise RunError(
            f"process zero reads another {stage.checkpoint}: it is to be in a folder "
            "that all machines share"
        )
    spread = ranks.spread()
    divider = None
    if spread.shares > 1:
        divider = Divider(learner, spread, f"{stage.name} {stage.key}")
    module = TrainingModule(
        learner,
        stage.optimizer,
        stage.steps,
        watch.at.step,
        saved,
        divider,
        sharded=is_sharded(learner),
    )
    if saved is not None:
        progress.note(f"{stage.name} goes on from step {watch.at.step} of {stage.steps}")
    if not watch.ended:
        for _ in range(watch.at.step * stage.optimizer.accumulate):
            next(stage.batches)
        _fit(module, stage, watch)
        learner.to(device)  # Lightning takes it back to the processor
    watch.close()
    learner.eval()
    at = watch.at
    return StageReport(
        name=stage.name,
        seconds=at.seconds,
        steps=at.step,
        epochs=at.step / stage.steps_per_epoch,
        targets=round(at.step * stage.targets_per_step),
        stopped="early" if at.stopped else "budget",
        curve=tuple(at.curve),
        flops=at.flops / max(1, at.metered) * at.step,
    )


def _fit(module: TrainingModule, stage: Stage, watch: Watch) -> None:
    trainer = make_trainer(
        stage,
        watch,
        steps=stage.steps - watch.at.step,
        precision=precision(stage.optimizer, stage.accelerator),
        sharded=is_sharded(module.learner),
    )
    batches = stage.batches
    if module.divider is not None:
        batches = parts_of(batches, module.divider.parts)
    loader = DataLoader(_Ready(batches), batch_size=None)
    # Lightning answers an interrupt by ignoring further ones and leaving the process; the harness
    # wants to close its files and say one line instead.
    handler = signal.getsignal(signal.SIGINT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(module, loader)
    except SystemExit:
        raise KeyboardInterrupt from None
    except FloatingPointError as error:
        raise FloatingPointError(f"{stage.name}: {error}") from error
    finally:
        if handler is not None and signal.getsignal(signal.SIGINT) is not handler:
            signal.signal(signal.SIGINT, handler)


def training_device(accelerator: str) -> torch.device:
    """The device that Lightning trains on.

    Args:
        accelerator: Lightning's name of it, with a number behind a colon where it is a certain one.
    """
    if accelerator == "cpu":
        return torch.device("cpu")
    if ":" in accelerator:
        return torch.device(accelerator)
    if ranks.spread().size > 1:
        return torch.device("cuda", ranks.spread().local_rank)
    return L.Fabric(accelerator=accelerator, devices=1).device


def device_facts(optimizer: OptimizerSettings, accelerator: str) -> dict[str, Any]:
    """What the numbers of a stage depend on beside its settings: devices, and precision.

    Nothing on one processor, where the settings say it all.
    """
    kind = training_device(accelerator).type
    several = ranks.spread().facts()
    if kind == "cpu":
        return several
    return {"device": kind, "precision": precision(optimizer, accelerator), **several}


def precision(optimizer: OptimizerSettings, accelerator: str) -> _Precision:
    """Lightning's name of the precision; `auto` is bf16 on a GPU that has it, else fp32.

    Args:
        optimizer: What was asked for.
        accelerator: Lightning's name of the device.
    """
    if optimizer.precision == "auto":
        gpu = accelerator.partition(":")[0] in ("gpu", "cuda", "auto") and torch.cuda.is_available()
        has_it = gpu and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if has_it else "32-true"
    return "bf16-mixed" if optimizer.precision == "bf16" else "32-true"


def _owner(learner: nn.Module, stage: Stage) -> str:
    """A hash of what a checkpoint must agree with."""
    weights = moving_weights(learner).items()
    facts: Mapping[str, Any] = {
        "format": [FORMAT, versions()],
        "stage": [stage.name, stage.key, stage.steps, stage.looks, stage.patience],
        "optimizer": stage.optimizer.model_dump(),
        "device": [stage.accelerator, precision(stage.optimizer, stage.accelerator)],
        **({"several": several} if (several := ranks.spread().facts()) else {}),
        "weights": [[name, list(weight.shape), str(weight.dtype)] for name, weight in weights],
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


class _Ready(IterableDataset[Any]):
    """Hands ready batches through."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return self.batches
