"""A batch divided among processes, or worked through in parts, with the gradient of the whole.

Every process has the same batch. What is random about what is learnt is drawn once for the whole
of it, alike everywhere; then each part of the rows gives its share of the loss of the whole:

    loss(batch) = sum over parts of loss(part) * targets(part) / targets(batch)

so that settings keep their meaning whatever the number of devices. Dropout differs between parts.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.system.ranks import Spread
from benchmark.types import HistoryBatch
from userllm.training.resume import random_states, set_random_states


@runtime_checkable
class Divisible(Protocol):
    """A learner whose loss is a mean over targets that belong to the rows of a batch.

    Batches have `len` and `some`, or are histories or tensors.
    """

    def training_loss(self, batch: Any) -> Tensor:
        """See `userllm.training.module.Learner`; it takes a batch as `drawn` gives it, too."""
        ...

    def drawn(self, batch: Any) -> Any:
        """The batch with what is drawn at random for all of it, before dropout."""
        ...

    def targets(self, batch: Any) -> int:
        """How many targets the loss of a batch that `drawn` gave is a mean over."""
        ...


@runtime_checkable
class Weighed(Protocol):
    """A learner whose loss is a sum of means over different targets."""

    def share_of_loss(self, part: Any, whole: Any) -> Tensor:
        """What a part adds to the loss of the whole; both as `drawn` gives them."""
        ...


class EachRow:
    """What most learners are: nothing is drawn, and each row is a target."""

    def drawn(self, batch: Any) -> Any:
        """See `Divisible`."""
        return batch

    def targets(self, batch: Any) -> int:
        """See `Divisible`."""
        return len(batch)


@dataclass(frozen=True)
class Part:
    """A batch, and which of a process's parts of it is to be worked through.

    Attributes:
        batch: The whole.
        number: From 0.
    """

    batch: Any
    number: int

    def to(self, device: torch.device | str) -> Part:
        """The same on another device."""
        return Part(self.batch.to(device), self.number)


def parts_of(batches: Iterator[Any], count: int) -> Iterator[Part]:
    """Every batch `count` times, once for each part."""
    for batch in batches:
        for number in range(count):
            yield Part(batch, number)


class Divider:
    """Gives the shares of this process.

    Args:
        learner: What trains.
        spread: Which process this is.
        name: Of the stage with its key: what dropout draws follows from it.

    Raises:
        UserError: The learner's loss cannot be divided.
    """

    def __init__(self, learner: nn.Module, spread: Spread, name: str) -> None:
        if not isinstance(learner, Divisible):
            raise UserError(
                f"{type(learner).__name__} cannot be trained on several devices or in micro-batches"
            )
        if any(isinstance(own, nn.modules.batchnorm._BatchNorm) for own in learner.modules()):
            raise UserError(
                f"{type(learner).__name__} normalises over whole batches, so it cannot be trained "
                "on several devices or in micro-batches"
            )
        self.learner: Any = learner
        self.spread = spread
        self.name = name
        self.parts = spread.micro_batches
        self._device = next(learner.parameters()).device
        self._whole: Any = None
        self._loss = 0.0

    def loss(self, part: Part, step: int) -> tuple[Tensor, float | None]:
        """The loss of a share, and that of the whole batch once its last part is done.

        Processes are averaged and parts too, so a share counts as often as there are shares.

        Args:
            part: A part of a batch.
            step: Number of the batch.
        """
        spread = self.spread
        if part.number == 0:
            self._whole, self._loss = self.learner.drawn(part.batch), 0.0
        own = spread.rank * spread.micro_batches + part.number
        with _own_dropout(f"{self.name} {step} {own}", self._device):
            loss = self._share(own)
        value = loss.detach().double()
        if spread.size > 1:
            dist.all_reduce(value)
        self._loss += float(value)
        last = part.number == spread.micro_batches - 1
        return loss * spread.shares, self._loss if last else None

    def _share(self, own: int) -> Tensor:
        whole, shares, learner = self._whole, self.spread.shares, self.learner
        begin, end = (len(whole) * n // shares for n in (own, own + 1))
        part = rows_of(whole, slice(begin, end))
        if end > begin and learner.targets(part):
            if isinstance(learner, Weighed):
                return learner.share_of_loss(part, whole)
            return learner.training_loss(part) * (learner.targets(part) / learner.targets(whole))
        # Nothing to learn here: all the same every process computes, for they wait for each other.
        return 0 * learner.training_loss(self._with_targets(whole))

    def _with_targets(self, whole: Any) -> Any:
        for row in range(len(whole)):
            part = rows_of(whole, slice(row, row + 1))
            if self.learner.targets(part):
                return part
        return whole


def rows_of(batch: Any, rows: slice) -> Any:
    """Some rows of a batch."""
    if isinstance(batch, Tensor):
        return batch[rows]
    return batch.rows(rows) if isinstance(batch, HistoryBatch) else batch.some(rows)


@contextlib.contextmanager
def _own_dropout(name: str, device: torch.device) -> Iterator[None]:
    """Random numbers that follow from a name; afterwards all processes go on alike."""
    states = random_states(device)
    torch.manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big"))
    try:
        yield
    finally:
        set_random_states(states)
