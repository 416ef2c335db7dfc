"""The one Lightning module: it trains anything that can say its own loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import lightning as L
import torch
from torch import Tensor, nn

from userllm.config import OptimizerSettings
from userllm.training.dividing import Divider
from userllm.training.sharding import Sharded, load_optimizer


@runtime_checkable
class Learner(Protocol):
    """A torch module that computes its training loss from a batch."""

    def training_loss(self, batch: Any) -> Tensor:
        """Scalar loss of one batch."""
        ...


class TrainingModule(L.LightningModule):
    """Wraps a `Learner` with AdamW, warm-up and cosine decay.

    Args:
        learner: A `torch.nn.Module` with a `training_loss`.
        optimizer: Its settings.
        steps: Optimizer steps of the whole stage, which the schedule spans.
        begun: Steps taken before.
        saved: States to go on from: `optimizer` and `schedule`; None = fresh ones.
        divider: Gives the shares of batches, which then are `userllm.training.dividing.Part`;
            None = a batch is computed whole.
        sharded: Whether the weights are divided among the processes.
    """

    loss: float | None = None
    """Of the latest batch; None while parts of it are missing."""
    sharded: Sharded | None = None

    def __init__(
        self,
        learner: nn.Module,
        optimizer: OptimizerSettings,
        steps: int,
        begun: int = 0,
        saved: Mapping[str, Any] | None = None,
        divider: Divider | None = None,
        sharded: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(learner, Learner):
            raise TypeError(f"{type(learner).__name__} has no training_loss")
        self.learner = learner
        self.settings = optimizer
        self.steps = steps
        self.begun = begun
        self.saved = saved
        self.divider = divider
        self._divides = sharded

    def configure_model(self) -> None:
        """Divides the weights where that is wanted."""
        if self._divides and self.sharded is None:
            self.sharded = Sharded(self.learner)

    def training_step(self, batch: Any, index: int) -> Tensor:
        """The learner's loss.

        Raises:
            FloatingPointError: The loss is NaN or infinite.
        """
        if self.divider is None:
            loss: Tensor = self.learner.training_loss(batch)
            self.loss = float(loss)
        else:
            number = self.begun * self.settings.accumulate + index // self.divider.parts
            loss, self.loss = self.divider.loss(batch, number)
        if self.loss is not None and not math.isfinite(self.loss):
            raise FloatingPointError(
                f"the loss became {self.loss} at step {self.begun + self.global_step + 1}; "
                "a lower learning rate may help"
            )
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips the norm of the gradient.

        Lightning's own clipping refuses fused optimizers in bf16, though nothing is scaled there.
        """
        if gradient_clip_val is not None:
            nn.utils.clip_grad_norm_(self.learner.parameters(), gradient_clip_val)

    def configure_optimizers(self) -> Any:
        """AdamW; vectors (norms, biases of linear maps) and gates do not decay.

        All that has two or more dimensions does: matrices and tables, and with them learned
        positions and the biases by distance of attention (`[heads, L]`, the Perceiver's
        `[heads, Q, L]`).
        """
        parameters = [p for p in self.learner.parameters() if p.requires_grad]
        groups = [
            {
                "params": [p for p in parameters if p.ndim > 1],
                "weight_decay": self.settings.weight_decay,
            },
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(
            groups, lr=self.settings.learning_rate, betas=(0.9, 0.98), fused=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        if self.saved is not None:
            load_optimizer(optimizer, self.saved["optimizer"])
            schedule.load_state_dict(dict(self.saved["schedule"]))
            self.saved = None
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _rate(self, step: int) -> float:
        warmup = max(1, int(self.settings.warmup * self.steps))
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, self.steps - warmup))
        return 0.5 * (1 + math.cos(math.pi * done))
