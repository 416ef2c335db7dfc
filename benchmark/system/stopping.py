"""How a command is stopped from outside: Ctrl-C, a scheduler's SIGTERM, a terminal that closes.

All three end as a `KeyboardInterrupt`. A second one ends the process at once, which loses no more
than a kill does.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from benchmark.errors import GOES_ON

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""What stops a command."""
_received: list[int] = []


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Has signals stop the block; what ignores one (`nohup`) goes on ignoring it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    hook, sys.unraisablehook = sys.unraisablehook, _unraisable
    before = {own: signal.getsignal(own) for own in SIGNALS}
    _received.clear()
    for own, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(own, _stop)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for own, handler in before.items():
            if handler is not None:  # of one that C code set nothing is known here
                signal.signal(own, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    for own in SIGNALS:
        if signal.getsignal(own) is not signal.SIG_IGN:
            signal.signal(own, signal.SIG_DFL)
    raise KeyboardInterrupt


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    # Where nothing can be raised, as in a finalizer, the runner finds out by `was_stopped`.
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)


def was_stopped() -> bool:
    """Whether a signal came, even if a library made another error of the interrupt, or none."""
    return bool(_received)


def say_stopped() -> int:
    """Says so in one line.

    Returns:
        The exit code: 128 and the signal's number, 130 after Ctrl-C.
    """
    print(f"error: interrupted; {GOES_ON}", file=sys.stderr, flush=True)
    return 128 + (_received[0] if _received else signal.SIGINT)
