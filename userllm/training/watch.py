"""What happens around the steps of a stage: clock, progress, looks, early stop, checkpoints."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from torch import Tensor, nn

from benchmark.system import ranks
from benchmark.types import CurvePoint, Progress
from userllm.training.modes import train_mode
from userllm.training.module import TrainingModule
from userllm.training.resume import (
    CheckpointFile,
    Standing,
    moving_weights,
    put_back,
    random_states,
    set_random_states,
)
from userllm.training.sharding import Sharded, completed
from userllm.training.step_flops import Meter

if TYPE_CHECKING:
    from userllm.training.loop import Stage

_SAVING_SHARE = 0.05
"""Saving may take this share of the time at most; a large model is saved less often."""


class Watch(L.Callback):
    """Looks at validation, keeps the best weights, and saves where the stage stands.

    Args:
        learner: What trains.
        stage: Its stage.
        progress: Where to say how far it is.
        file: Where to save; None = nowhere.
        saved: A checkpoint to go on from; its weights are put back here.
    """

    def __init__(
        self,
        learner: nn.Module,
        stage: Stage,
        progress: Progress,
        file: CheckpointFile | None,
        saved: Mapping[str, Any] | None,
    ) -> None:
        self.learner = learner
        self.stage = stage
        self.progress = progress
        self.at = Standing()
        self._file = file
        self._to_set: dict[str, Tensor] | None = None
        if saved is not None:
            self.at = Standing.of(saved["standing"])
            self._to_set = self.at.random
            put_back(learner, saved["weights"])
        self._begun = self.at.step
        self._loss = self.at.loss
        self._meter = Meter(stage.steps)
        self._sharded: Sharded | None = None
        # False while weights and `at` do not belong together.
        self._whole = False
        looks = min(stage.looks, stage.steps) if stage.validate else 0
        self._due = {round(stage.steps * (n + 1) / looks) for n in range(looks)}

    @property
    def ended(self) -> bool:
        """Whether no step is left to do."""
        return self.at.stopped or self.at.step >= self.stage.steps

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Starts the clock."""
        assert isinstance(module, TrainingModule)
        self._sharded = module.sharded
        self._mark = self._saved_at = time.perf_counter()

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int
    ) -> None:
        """Goes on with the random numbers of the checkpoint, and meters the step."""
        # Not earlier: to open an iterator draws random numbers.
        if self._to_set is not None:
            set_random_states(self._to_set)
            self._to_set = None
        self._meter.begin(self.at.step + 1)

    def on_before_optimizer_step(
        self, trainer: L.Trainer, module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """From here to the end of the batch nothing fits together."""
        self._whole = False

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Counts the batch; after the last one of a step, looks and saves where that is due."""
        assert isinstance(module, TrainingModule)
        if module.loss is not None:
            before = module.loss if self._loss is None else self._loss
            self._loss = 0.95 * before + 0.05 * module.loss
        at, step = self.at, self._begun + trainer.global_step
        if step == at.step:
            return  # its gradient is still being gathered
        at.step, at.loss = step, self._loss
        flops = self._meter.end()
        if flops is not None:
            at.flops, at.metered = at.flops + ranks.total(flops), at.metered + 1
        now = time.perf_counter()
        at.seconds += now - self._mark
        self._mark = now
        value = None
        if step in self._due:
            value = self._look()
            self._mark = time.perf_counter()
        at.random = random_states(module.device)
        self._whole = True
        trainer.should_stop = at.stopped
        self._save_where_due(trainer)
        self.progress.update(step / self.stage.steps_per_epoch, self._loss, value)

    def on_exception(
        self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException
    ) -> None:
        """Saves the last step that was whole."""
        self._meter.end()
        # Weights that are divided can only be put together by all processes.
        if self._whole and self._sharded is None:
            self._save(trainer)

    def _look(self) -> float:
        assert self.stage.validate is not None
        at, step = self.at, self.at.step
        states = random_states(next(self.learner.parameters()).device)
        self.learner.eval()
        with contextlib.nullcontext() if self._sharded is None else self._sharded.whole():
            value = ranks.agreed(self.stage.validate())
        train_mode(self.learner)
        set_random_states(states)
        at.curve.append(CurvePoint(at.seconds, step, value))
        if value > at.best_value:
            at.best_value, at.best_look = value, len(at.curve)
            at.best = None
            if step < self.stage.steps:
                live = moving_weights(self.learner)
                at.best = {name: weight.clone() for name, weight in live.items()}
        patience = self.stage.patience
        at.stopped = bool(patience) and len(at.curve) - at.best_look >= patience
        return value

    def _save_where_due(self, trainer: L.Trainer) -> None:
        if self._file is None or self.ended:
            return  # the end is saved by `close`
        wait = self.stage.save_every_seconds
        if wait:
            wait = max(wait, self._file.save_seconds / _SAVING_SHARE)
        due = time.perf_counter() - self._saved_at >= wait
        if self._sharded is not None:
            due = ranks.agreed(due)
        if due:
            self._save(trainer)
            self._mark = self._saved_at = time.perf_counter()

    def _save(self, trainer: L.Trainer | None) -> None:
        """Saves everything; without a trainer, what is needed of a stage that has ended."""
        if self._file is None:
            return
        contents = {"standing": self.at.contents(), "weights": moving_weights(self.learner)}
        if trainer is not None:
            contents["optimizer"] = trainer.optimizers[0].state_dict()
            contents["schedule"] = trainer.lr_scheduler_configs[0].scheduler.state_dict()
        if self._sharded is not None:
            contents = completed(contents)
        if ranks.first():
            self._file.save(contents)

    def close(self) -> None:
        """Puts the best weights seen at a look back; the stage has ended."""
        if self.at.best is not None:
            put_back(self.learner, self.at.best)
            self.at.best = None
        if self._to_set is None:
            self._save(None)
        else:  # it had ended before
            set_random_states(self._to_set)
        if self._sharded is not None:
            self._sharded.undo()
