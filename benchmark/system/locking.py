"""Locks between calls that work on the same files.

They are the system's (`flock`): one ends with the process that holds it, however that ends, and the
file that stays behind blocks nobody. They hold between hosts on NFS since version 4 and on most
cluster file systems; where a file system has none, filelock takes the existence of the file for the
lock, names its process in it, and breaks that of a process of this host that has gone.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

from filelock import FileLock, Timeout

_listener: ContextVar[Callable[[bool], None]] = ContextVar("listener", default=lambda waits: None)


@contextlib.contextmanager
def heard(listener: Callable[[bool], None]) -> Iterator[None]:
    """Tells of the locks that the block waits for: True when it begins to wait, then False."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


@contextlib.contextmanager
def locked(folder: Path, name: str, tell: Callable[[str], None], waiting: str) -> Iterator[None]:
    """Holds a lock.

    Args:
        folder: Of what is locked; the lock lies hidden in it.
        name: What is locked.
        tell: Is told what is waited for.
        waiting: What to say where another call has it.
    """
    locks = folder / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(locks / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tell(waiting)
        listener = _listener.get()
        listener(True)
        lock.acquire()
        listener(False)
    try:
        yield
    finally:
        lock.release()


def on_stderr(line: str) -> None:
    """Tells of waiting where no progress is shown yet."""
    print(line, file=sys.stderr, flush=True)
