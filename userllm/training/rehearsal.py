"""Rehearses stages: what their steps would take is counted and timed, and nothing is learnt."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn

from benchmark.types import StageReport
from userllm.training.step_flops import Meter

if TYPE_CHECKING:
    from userllm.training.loop import Stage

_METERED, _SEEN = 2, 32
"""Batches that are computed, and that are measured by their size alone, once at the beginning and
once halfway: what a step reads may change on the way."""
_SKIPPING_SECONDS = 5.0
"""How long the way to the second place may take; where it is longer, it is not gone to its end."""


@dataclass(frozen=True)
class Rehearsed:
    """What one stage would take.

    Attributes:
        name: The stage's.
        steps: Optimizer steps of all of it.
        begun: Steps that a checkpoint has done already.
        may_stop: Whether it may end before its last step.
    """

    name: str
    steps: int
    begun: int
    may_stop: bool


class Rehearsal:
    """Stands in for training while it is open, see `rehearsing`.

    Args:
        scratch: Receives what stages leave for others, in place of their cache.

    Attributes:
        stages: What was rehearsed, in order.
        found: For each stage that was found finished, in order, whether the cache has it; else an
            earlier rehearsal has left it in `scratch`.
    """

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.stages: list[Rehearsed] = []
        self.found: list[bool] = []

    def of(
        self, learner: nn.Module, stage: Stage, device: torch.device, begun: int, half: bool
    ) -> StageReport:
        """The report that a stage would have, by a few of its steps; weights stay as they are.

        Args:
            learner: In training mode, on its device.
            stage: What it would learn from, and how long.
            device: Where the learner is.
            begun: Steps that a checkpoint has done already.
            half: Whether it computes in bf16.
        """
        accumulate = stage.optimizer.accumulate
        half_way = max(1, stage.steps // 2)
        halves: list[tuple[float, float]] = []
        drawn = 0
        for place in dict.fromkeys((0, stage.steps // 2)):
            until = time.perf_counter() + _SKIPPING_SECONDS
            while drawn < place * accumulate and time.perf_counter() < until:
                next(stage.batches)
                drawn += 1
            shown = min(_SEEN, half_way * accumulate)
            halves.append(_looked_at(learner, stage.batches, shown, device, half))
            drawn += shown
        # A batch costs what a mean one of its half does.
        flops, seconds = (sum(own) / len(halves) * accumulate for own in zip(*halves, strict=True))
        learner.eval()
        patience = bool(stage.patience and stage.validate)
        self.stages.append(Rehearsed(stage.name, stage.steps, begun, patience))
        return StageReport(
            name=stage.name,
            seconds=seconds * stage.steps,
            steps=stage.steps,
            epochs=stage.steps / stage.steps_per_epoch,
            targets=round(stage.steps * stage.targets_per_step),
            flops=flops * stage.steps,
        )


def _looked_at(
    learner: nn.Module, batches: Iterator[Any], shown: int, device: torch.device, half: bool
) -> tuple[float, float]:
    """Arithmetic and seconds of a mean batch among the next ones.

    A few are computed; what they cost for each number in them is taken to hold for all.
    """
    flops = seconds = size = whole = 0.0
    for n in range(shown):
        batch = next(batches)
        own = float(_size(batch))
        whole += own
        if n < _METERED:
            size += own
            batch = move_data_to_device(batch, device)
            meter = Meter(1)
            meter.begin(1)
            _step(learner, batch, device, half)
            flops += meter.end() or 0.0
            seconds += _step(learner, batch, device, half)
    scale = whole / shown / size if size else 1 / min(shown, _METERED)
    return flops * scale, seconds * scale


def _size(batch: Any) -> int:
    """Numbers in all tensors of a batch, whatever it is made of."""
    if isinstance(batch, Tensor):
        return batch.numel()
    if is_dataclass(batch):
        return sum(_size(getattr(batch, own.name)) for own in fields(batch))
    if isinstance(batch, Mapping):
        return sum(map(_size, batch.values()))
    return sum(map(_size, batch)) if isinstance(batch, list | tuple) else 0


def _step(learner: Any, batch: Any, device: torch.device, half: bool) -> float:
    """Seconds of one batch, forward and backward; its gradient is thrown away."""
    begin = _now(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        loss = learner.training_loss(batch)
    loss.backward()
    seconds = _now(device) - begin
    learner.zero_grad(set_to_none=True)
    return seconds


def _now(device: torch.device) -> float:
    if device.type != "cpu":
        torch.get_device_module(device).synchronize(device)
    return time.perf_counter()


_OPEN: ContextVar[Rehearsal | None] = ContextVar("what stands in for training", default=None)


@contextmanager
def rehearsing(scratch: Path) -> Iterator[Rehearsal]:
    """While this is open, stages are rehearsed, and the cache of stages is read alone.

    Args:
        scratch: A folder for as long as it is open.
    """
    rehearsal = Rehearsal(scratch)
    token = _OPEN.set(rehearsal)
    try:
        yield rehearsal
    finally:
        _OPEN.reset(token)


def open_rehearsal() -> Rehearsal | None:
    """What stands in for training at the moment; None = it is trained."""
    return _OPEN.get()
