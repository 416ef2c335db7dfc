"""One training stage by Lightning: a fixed number of steps, looks at validation, the best kept."""

from __future__ import annotations

import copy
import logging
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import lightning as L
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from benchmark.types import CurvePoint, Progress, StageReport
from userllm.config import OptimizerSettings
from userllm.module import TrainingModule


@dataclass(frozen=True)
class Stage:
    """What to train on and how long.

    Attributes:
        name: For reports and progress.
        batches: Endless iterator of ready batches.
        steps: Optimizer steps.
        steps_per_epoch: To report progress in passes over the data.
        targets_per_step: Supervised targets in a batch, on average.
        optimizer: Settings of the optimizer.
        accelerator: Lightning's name of the device.
        validate: Returns the value to maximise; None = never look.
        looks: How often to look, evenly spread; the last look is at the end.
        patience: Looks without a better value before stopping; 0 = never stop early.
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


def run_stage(learner: nn.Module, stage: Stage, progress: Progress) -> StageReport:
    """Trains a learner (see `userllm.module.Learner`) and leaves it at its best look.

    Without looks it is left as it is after the last step.

    Raises:
        FloatingPointError: The loss became NaN or infinite.
        KeyboardInterrupt: The user interrupted.
    """
    progress.stage(stage.name, stage.steps / stage.steps_per_epoch)
    watch = _Watch(learner, stage, progress)
    train_mode(learner)
    trainer = _trainer(stage, watch)
    loader = DataLoader(_Ready(stage.batches), batch_size=None)
    # Lightning answers an interrupt by ignoring further ones and leaving the process; the harness
    # wants to close its files and say one line instead.
    handler = signal.getsignal(signal.SIGINT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(TrainingModule(learner, stage.optimizer, stage.steps), loader)
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if handler is not None and signal.getsignal(signal.SIGINT) is not handler:
            signal.signal(signal.SIGINT, handler)
    watch.restore()
    learner.eval()
    return StageReport(
        name=stage.name,
        seconds=watch.seconds,
        steps=trainer.global_step,
        epochs=trainer.global_step / stage.steps_per_epoch,
        targets=round(trainer.global_step * stage.targets_per_step),
        stopped="early" if watch.stopped else "budget",
        curve=tuple(watch.curve),
    )


def train_mode(module: nn.Module) -> None:
    """Puts a module into training mode, and its frozen parts into evaluation mode.

    Lightning leaves the modes as it finds them, and a part that does not learn needs no dropout.
    """
    weights = list(module.parameters())
    if weights and not any(weight.requires_grad for weight in weights):
        module.eval()
        return
    module.training = True
    for child in module.children():
        train_mode(child)


def _trainer(stage: Stage, watch: _Watch) -> L.Trainer:
    for name in ("lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return L.Trainer(
        accelerator=stage.accelerator,
        devices=1,
        max_steps=stage.steps,
        max_epochs=-1,
        gradient_clip_val=stage.optimizer.clip,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watch],
    )


class _Ready(IterableDataset[Any]):
    """Hands ready batches through."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return self.batches


class _Watch(L.Callback):
    """Clock, progress, looks at validation, early stopping and the best weights."""

    def __init__(self, learner: nn.Module, stage: Stage, progress: Progress) -> None:
        self.learner = learner
        self.stage = stage
        self.progress = progress
        self.curve: list[CurvePoint] = []
        self.seconds = 0.0
        self.stopped = False
        self._best: dict[str, Tensor] | None = None
        self._best_value = float("-inf")
        self._best_look = 0
        self._loss: float | None = None
        looks = min(stage.looks, stage.steps) if stage.validate else 0
        self._due = {round(stage.steps * (n + 1) / looks) for n in range(looks)}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._mark = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        step = trainer.global_step
        loss = float(outputs["loss"])
        self._loss = loss if self._loss is None else 0.95 * self._loss + 0.05 * loss
        if step in self._due or step == self.stage.steps:
            self.seconds += time.perf_counter() - self._mark
            if step in self._due:
                self._look(trainer, step)
            self._mark = time.perf_counter()
        self.progress.update(step / self.stage.steps_per_epoch, self._loss)

    def _look(self, trainer: L.Trainer, step: int) -> None:
        assert self.stage.validate is not None
        self.learner.eval()
        value = self.stage.validate()
        train_mode(self.learner)
        self.curve.append(CurvePoint(self.seconds, step, value))
        self.progress.update(step / self.stage.steps_per_epoch, self._loss, value)
        if value > self._best_value:
            self._best_value, self._best_look = value, len(self.curve)
            if step < self.stage.steps:
                self._best = copy.deepcopy(self.learner.state_dict())
            else:
                self._best = None
        if self.stage.patience and len(self.curve) - self._best_look >= self.stage.patience:
            self.stopped = True
            trainer.should_stop = True

    def restore(self) -> None:
        """Puts the best weights seen at a look back."""
        if self._best is not None:
            self.learner.load_state_dict(self._best)
