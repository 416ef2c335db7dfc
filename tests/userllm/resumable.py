"""A small stage that draws random numbers, stops where it is told to, and can go on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.types import StageReport
from userllm.config import OptimizerSettings
from userllm.training.loop import Stage, run_stage

STEPS, GATHER = 12, 3
TARGET = -0.2  # the third look of six is the best


class Listener:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def stage(self, name: str, total_epochs: float | None = None) -> None: ...
    def update(
        self, epoch: float, loss: float | None = None, value: float | None = None
    ) -> None: ...
    def note(self, text: str) -> None:
        self.notes.append(text)


class Impatient(Listener):
    """Interrupts at the n-th step that it hears of."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def update(self, epoch: float, loss: float | None = None, value: float | None = None) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


class Noisy(nn.Module):
    """A frozen part, a part that learns with dropout, and a count of what it has seen."""

    def __init__(self, interrupt_at: int = -1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.body = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.4), nn.Linear(8, 1))
        self.register_buffer("scale", torch.ones(1))
        self.interrupt_at = interrupt_at
        self.losses: list[float] = []

    def training_loss(self, batch: Tensor) -> Tensor:
        torch.rand(1)
        if len(self.losses) == self.interrupt_at:
            raise KeyboardInterrupt
        loss = (self.body(self.frozen(batch)) * self.scale - batch.sum(1, keepdim=True)).square()
        self.losses.append(float(loss.mean().detach()))
        return loss.mean()


def batches(fail_at: int = -1) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(5)
    for number in itertools.count():
        if number == fail_at:
            raise OSError("the data went away")
        yield torch.randn(4, 6, generator=generator)


@dataclass
class Outcome:
    learner: Noisy
    report: StageReport
    random: Tensor


def train(
    learner: Noisy, data: Iterator[Tensor], progress: Listener | None = None, **changes: object
) -> Outcome:
    def look() -> float:
        assert not learner.training
        torch.rand(7)  # what a look draws is nothing to the training
        return -abs(float(learner.body[2].bias.detach()) - TARGET)

    fields: dict[str, object] = {
        "name": "noisy",
        "batches": data,
        "steps": STEPS,
        "steps_per_epoch": 4,
        "targets_per_step": 12,
        "optimizer": OptimizerSettings(learning_rate=0.05, warmup=0.3, accumulate=GATHER),
        "validate": look,
        "looks": 6,
        "patience": 2,
        **changes,
    }
    torch.manual_seed(1)
    stage = Stage(**fields)  # type: ignore[arg-type]
    report = run_stage(learner, stage, progress or Listener())
    return Outcome(learner, report, torch.get_rng_state())


def assert_same(one: Outcome, other: Outcome) -> None:
    assert one.learner.state_dict().keys() == other.learner.state_dict().keys()
    for name, value in one.learner.state_dict().items():
        assert torch.equal(value, other.learner.state_dict()[name]), name
    points = [[(p.step, p.value) for p in run.report.curve] for run in (one, other)]
    assert points[0] == points[1]
    assert one.report.steps == other.report.steps
    assert one.report.stopped == other.report.stopped
    assert torch.equal(one.random, other.random)
