"""Where the processes of a run meet before they work together, with an end to their waiting.

Who is alone after that has most likely been given a wrong address, or the others were not started.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist

from benchmark.errors import UserError

LIMIT_SECONDS = 600.0
"""How long a process waits for process zero, and then for the others: the machines of a cluster
may start minutes apart."""
_LOOK_SECONDS = 0.1

Result = TypeVar("Result")


def meet(rank: int, size: int, address: str, port: int, *, host: bool, patience: timedelta) -> Any:
    """Waits until all processes have come to process zero.

    Args:
        rank: Number of this process, from 0.
        size: Processes in all.
        address: Of process zero.
        port: Where process zero listens.
        host: Whether this process listens there.
        patience: Of what is asked of the store afterwards.

    Returns:
        The `torch.distributed.Store` that all of them read and write.

    Raises:
        UserError: Process zero does not answer, or somebody does not come.
    """
    place = f"{address}:{port}"
    silent = f"process zero at {place} does not answer: is it running, and reachable from here?"
    if host:
        silent = f"this machine does not answer at {place}: is MASTER_ADDR its own address?"

    def connect() -> Any:
        # Its own patience is longer than ours, or it would tell of its failure in many lines.
        return dist.TCPStore(  # type: ignore[attr-defined]
            address, port, size, host, timeout=patience, wait_for_workers=False
        )

    try:
        store = within_limit(connect, silent)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"cannot meet at {place}: {reason}; give another MASTER_PORT" if host else silent
        ) from error
    try:
        _wait_for_all(store, rank, size, place)
    except RuntimeError as error:
        raise UserError(f"process zero at {place} has gone before all had come") from error
    return store


def _wait_for_all(store: Any, rank: int, size: int, place: str) -> None:
    names = [f"here {number}" for number in range(size)]
    store.set(names[rank], "")
    until = time.monotonic() + LIMIT_SECONDS
    while missing := [n for n, name in enumerate(names) if not store.check([name])]:
        if time.monotonic() > until:
            raise UserError(
                f"{size - len(missing)} of {size} processes have come to {place}, and number "
                f"{missing[0]} not within {_limit()}: is its machine's command running, with the "
                "same MASTER_ADDR and MASTER_PORT?"
            )
        time.sleep(_LOOK_SECONDS)


def within_limit(work: Callable[[], Result], complaint: str) -> Result:
    """What a call into torch gives that may hang there, deaf to the clock and to interrupts.

    Args:
        work: The call; where it hangs, its thread is left behind.
        complaint: What to say then.

    Raises:
        UserError: It took too long.
    """
    ended: Future[Result] = Future()

    def try_it() -> None:
        try:
            ended.set_result(work())
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=try_it, daemon=True).start()
    try:
        return ended.result(LIMIT_SECONDS)
    except LateError:
        raise UserError(f"{complaint} (waited {_limit()})") from None


def _limit() -> str:
    return f"{LIMIT_SECONDS / 60:.3g} min"
