"""One life of a command: a process that runs it, and is killed.

Imports take seconds and what is killed takes less, so lives are forked from a process that has
imported everything and done nothing. That one must start no thread: a fork copies the caller's
alone, and locks that others hold stay locked for ever.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.torture.deaths import Death
from tests.torture.processes import members

_MARK = "torture:"
_OPERATIONS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink")
"""What Python announces before it happens; `os.rename` is `os.replace` too."""
_AGAIN_SECONDS = 0.1
"""After which it is looked again for a child that may be killed."""
_HELPER = "multiprocessing.resource_tracker"
"""A process of Python's own, which does no work; its loss Python tells in tracebacks of its own."""


@dataclass(frozen=True)
class Ended:
    """How a life ended.

    Attributes:
        killed: Whether it ended as its death would have it.
        code: Exit code; minus a signal's number where that killed it.
        seconds: It lasted.
        lines: What it said on stderr.
        before: The file operation that it was killed before or within, "" where by the clock.
        operations: File operations that it did; of a life that ended by itself.
        orphans: Processes that were still there long after it.
        heard: Lines that it had said when a child was killed that it outlived, maybe for a moment
            alone; None = it outlived none.
    """

    killed: bool
    code: int
    seconds: float
    lines: tuple[str, ...]
    before: str
    operations: int
    orphans: tuple[str, ...]
    heard: int | None = None


def live(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    death: Death | None,
    deadline_seconds: float = 900.0,
) -> Ended:
    """Runs the command line until it ends or dies.

    Args:
        arguments: What follows the program's name.
        environment: What is set beside what is set already.
        folder: Holds all that the command writes, and `stdout` in the end.
        death: What kills it; None = nothing.
        deadline_seconds: A life that lasts longer hangs.
    """
    read, write = os.pipe()
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        _be_born(arguments, environment, folder, death, write)
    os.close(write)
    said, code, heard = _watch(pid, read, death, began + deadline_seconds)
    lines = said.decode(errors="replace").splitlines()
    marks = [line.removeprefix(_MARK).strip() for line in lines if line.startswith(_MARK)]
    meant = death is not None and not death.spared
    killed = death is not None and meant and code in (-death.signal, 128 + death.signal)
    return Ended(
        code=code,
        seconds=time.monotonic() - began,
        lines=tuple(line for line in lines if not line.startswith(_MARK)),
        killed=killed,
        before=next((mark for mark in marks if killed and not mark.isdecimal()), ""),
        operations=next((int(mark) for mark in marks if mark.isdecimal()), 0),
        orphans=_orphans(pid),
        heard=None if killed else heard,
    )


def _be_born(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    death: Death | None,
    stderr: int,
) -> None:
    """What the forked process does; does not return."""
    code = 70
    try:
        os.setsid()
        os.environ.update(environment)
        os.dup2(stderr, 2)
        out = os.open(folder / "stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(out, 1)
        if death is not None and death.kind == "start":
            os.execv(sys.executable, [sys.executable, "-m", "benchmark", *arguments])
        counted = _count_operations(folder, death)
        from benchmark.cli import main

        code = main(arguments)
        print(_MARK, counted(), file=sys.stderr, flush=True)
        sys.stdout.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _count_operations(folder: Path, death: Death | None) -> Callable[[], int]:
    """Counts what is done to files of a folder; dies where the death says so."""
    below, done = f"{folder}{os.sep}", 0

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        if event not in _OPERATIONS or not str(arguments[0]).startswith(below):
            return
        if event == "open" and arguments[1] in ("r", "rb"):
            return
        if "/.locks" in str(arguments[0]):  # of finished cells too, which would be most of all
            return
        done += 1
        if death is not None and death.kind in ("file", "within") and done == death.operation:
            what = f"{_MARK} {event} {str(arguments[0]).removeprefix(below)}\n"
            os.write(2, what.encode())
            if death.kind == "file":
                os.kill(os.getpid(), death.signal)

    sys.addaudithook(hear)
    return lambda: done


def _watch(
    pid: int, stderr: int, death: Death | None, deadline: float
) -> tuple[bytes, int, int | None]:
    """Reads what a life says, and kills it or a child of it when its time has come.

    Returns:
        What it said, its exit code, and how many lines it had said when a child was killed.
    """
    said, heard = b"", None
    by_clock = death is not None and death.kind in ("clock", "start")
    kill_at = time.monotonic() + death.seconds if death and by_clock else deadline
    victim = death.child if death else None
    with contextlib.closing(os.fdopen(stderr, "rb", buffering=0)) as pipe:
        while True:
            left = min(kill_at, deadline) - time.monotonic()
            if left <= 0 and death is not None and victim is not None and kill_at < deadline:
                struck = _kill_one_of(pid, victim)
                if struck:
                    heard = said.count(b"\n")
                if not death.spared:
                    victim, kill_at = None, time.monotonic() + death.seconds
                elif struck:
                    victim, kill_at = None, deadline
                else:
                    kill_at = time.monotonic() + _AGAIN_SECONDS
                continue
            if left <= 0:
                late = time.monotonic() > deadline or death is None
                _kill(pid, signal.SIGKILL if late or death is None else death.signal)
                kill_at = math.inf
            ready, _, _ = select.select([pipe], [], [], max(0.0, left))
            chunk = pipe.read(65536) if ready else b""
            said += chunk or b""
            marked = death is not None and death.kind == "within" and _MARK.encode() in chunk
            if marked and death is not None:
                _kill(pid, death.signal)
            # A child that outlives its parent may hold the pipe open.
            gone, status = os.waitpid(pid, os.WNOHANG if not ready or chunk else 0)
            if gone:
                return said + _rest(pipe.fileno()), os.waitstatus_to_exitcode(status), heard


def _rest(pipe: int) -> bytes:
    """What is still in a pipe, without waiting for more."""
    os.set_blocking(pipe, False)
    rest = b""
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(pipe, 65536):
            rest += chunk
    return rest


def _kill(pid: int, number: int = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _kill_one_of(pid: int, share: float) -> bool:
    """Kills a child of a life that works for it; False where it has none."""
    found = members(pid)
    children = sorted(own for own, command in found if own != pid and _HELPER not in command)
    if children:
        _kill(children[int(share * len(children))])
    return bool(children)


def _orphans(session: int, patience_seconds: float = 60.0) -> tuple[str, ...]:
    """Processes of a life that has ended; killed where they do not end by themselves."""
    until = time.monotonic() + patience_seconds
    while (left := members(session)) and time.monotonic() < until:
        time.sleep(0.05)
    for pid, _ in left:
        _kill(pid)
    return tuple(f"{pid} {command}" for pid, command in left)
