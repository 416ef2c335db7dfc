"""The processes that work at one cell together: how many there are, and what they agree on.

They are numbered: process zero alone writes, locks and tells; the others take their share of
training batches and of users that are asked. One process has no group and agrees with itself.
Values travel as JSON or as bytes of arrays: nothing that is received can be code.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

from benchmark.errors import RunError
from benchmark.system.meeting import meet, within_limit

_PATIENCE = timedelta(days=7)
"""A process may wait long, for a lock or for data; one that died is noticed by its connection."""
_APART_SECONDS = 10
"""How long a process whose cell failed waits to hear whether it failed in all of them."""


@dataclass(frozen=True)
class Spread:
    """How training is spread over processes.

    Attributes:
        rank: Number of this process, from 0.
        size: Processes in all.
        local_rank: Number of this process on its machine, from 0.
        devices: Processes a machine.
        distributed: `ddp` or `fsdp`.
        micro_batches: Parts in which each process takes its share of a batch.
        known_as: What numbers are said to depend on, where it is not what follows from the rest.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    devices: int = 1
    distributed: str = "ddp"
    micro_batches: int = 1
    known_as: Mapping[str, Any] | None = None

    @property
    def shares(self) -> int:
        """Parts of a batch, over all processes."""
        return self.size * self.micro_batches

    def facts(self) -> dict[str, Any]:
        """What numbers depend on in the last digits, and dropout in all; nothing where alone."""
        if self.known_as is not None:
            return dict(self.known_as)
        several = {"devices": self.size, "distributed": self.distributed} if self.size > 1 else {}
        parts = {"micro_batches": self.micro_batches} if self.micro_batches > 1 else {}
        return several | parts


Result = TypeVar("Result")

_ALONE = Spread()
_spread = _ALONE
_store: Any | None = None
_failures = 0


def spread() -> Spread:
    """How training is spread in this process."""
    return _spread


def first() -> bool:
    """Whether this is process zero."""
    return _spread.rank == 0


def join(own: Spread, address: str = "127.0.0.1", port: int = 0, *, hosted: bool = False) -> None:
    """Makes this process one of several, once; alone, only says how batches are worked through.

    Args:
        own: Which of how many.
        address: Of process zero.
        port: Where process zero listens.
        hosted: Whether somebody else (torchrun) listens there.

    Raises:
        UserError: Not all come together, see `benchmark.system.meeting`.
    """
    global _spread, _store
    if own.size > 1 and not dist.is_initialized():
        host = own.rank == 0 and not hosted
        store = meet(own.rank, own.size, address, port, host=host, patience=_PATIENCE)
        group = dist.PrefixStore("group", store)  # type: ignore[attr-defined]
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        within_limit(
            lambda: dist.init_process_group(
                backend, store=group, rank=own.rank, world_size=own.size, timeout=_PATIENCE
            ),
            f"all processes have come to {address}:{port}, but cannot reach each other: is a port "
            "closed between the machines, or GLOO_SOCKET_IFNAME to name their network?",
        )
        _store = store
        if torch.cuda.is_available() and own.local_rank < torch.cuda.device_count():
            torch.cuda.set_device(own.local_rank)
    _spread = own


def leave() -> None:
    """This process is alone again."""
    global _spread, _store
    if dist.is_initialized():
        dist.destroy_process_group()
    _spread, _store = _ALONE, None


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """This process does a thing by itself, which the others wait for; facts stay as they are."""
    global _spread
    before = _spread
    _spread = Spread(known_as=before.facts())
    try:
        yield
    finally:
        _spread = before


def agreed(value: Any) -> Any:
    """What process zero says.

    Args:
        value: JSON-ready; that of other processes plays no part.
    """
    if _spread.size == 1:
        return value
    told = json.dumps(value).encode() if first() else b""
    return json.loads(_sent(told, 0))


def gathered(arrays: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The arrays of every process, in the order of their numbers; of numbers and booleans."""
    if _spread.size == 1:
        return [dict(arrays)]
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    found = []
    for rank in range(_spread.size):
        with np.load(io.BytesIO(_sent(buffer.getvalue(), rank)), allow_pickle=False) as own:
            found.append({name: own[name] for name in own.files})
    return found


def by_first(work: Callable[[], Result]) -> Result | None:
    """Has process zero do something; the others wait, get None, and fail where it failed.

    Raises:
        RunError: In the others, with what process zero has to say.
    """
    if _spread.size == 1:
        return work()
    if not first():
        failure = agreed(None)
        if failure:
            raise RunError(failure)
        return None
    try:
        result = work()
    except Exception as error:
        agreed(f"{type(error).__name__}: {error}")
        raise
    agreed("")
    return result


def total(value: float) -> float:
    """The sum of what every process says."""
    if _spread.size == 1:
        return value
    summed = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(summed)
    return float(summed)


def largest(value: int) -> int:
    """The largest of what every process says."""
    if _spread.size == 1:
        return value
    most = torch.tensor(value)
    dist.all_reduce(most, op=dist.ReduceOp.MAX)
    return int(most)


def failed_in_all(kind: str = "") -> bool:
    """Called where a cell failed: whether it failed in every process, so that all can go on.

    An error of one process alone leaves the others in the midst of something.

    Args:
        kind: Of the failure; all must say the same.
    """
    global _failures
    if _store is None:
        return True
    _failures += 1
    names = [f"failure {_failures} of {rank}" for rank in range(_spread.size)]
    try:
        _store.set(names[_spread.rank], kind)
        _store.wait(names, timedelta(seconds=_APART_SECONDS))
        return all(_store.get(name) == kind.encode() for name in names)
    except RuntimeError:  # one has not failed, or is no more
        return False


def _sent(own: bytes, sender: int) -> bytes:
    """The bytes of one process, in all of them."""
    length = torch.tensor(len(own))
    dist.broadcast(length, sender)
    content = torch.zeros(int(length), dtype=torch.uint8)
    if _spread.rank == sender:
        content = torch.frombuffer(bytearray(own), dtype=torch.uint8)
    dist.broadcast(content, sender)
    return content.numpy().tobytes()
