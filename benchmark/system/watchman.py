"""Keeps the processes of a run on several devices together: one ends, all end.

The first speaks for all, and an interrupt is passed on to it alone: the others wait for it
wherever they are, and end with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from benchmark.errors import GOES_ON
from benchmark.system.stopping import SIGNALS

_WATCHED = "USERLLM_BENCH_WATCHED"
"""Set where a watchman holds the other end of a process's standard input."""
_GRACE_SECONDS = 20.0
"""How long the others may take to end by themselves."""


def run_together(command: Sequence[str], numbers: Sequence[Mapping[str, str]]) -> int:
    """Runs the processes of this machine to their end; none of them is left.

    Args:
        command: What each of them runs.
        numbers: What the environment of each says beside.

    Returns:
        The exit code of the first; 1 where another one failed.
    """
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as files:
        # What a process has to say once it is known to be the one that failed.
        said = [files.enter_context((Path(scratch) / str(n)).open("wb+")) for n in numbers[1:]]
        stops: list[int] = []
        with _interrupts(stops):
            processes: list[subprocess.Popen[bytes]] = []
            try:
                for local, own in enumerate(numbers):
                    told = None if local == 0 else said[local - 1]
                    processes.append(_start(command, own, told, scratch))
                code, culprit = _wait(processes, stops)
            finally:
                _end(processes)
        if culprit:
            said[culprit - 1].seek(0)
            lines = said[culprit - 1].read().decode(errors="replace").strip().splitlines()
            reason = lines[-1].removeprefix("error: ") if lines else "it said nothing"
            ended = processes[culprit].returncode
            how = f"ended with code {ended} ({reason})"
            if ended < 0:
                how = f"was killed (signal {-ended})"
            print(
                f"error: process {numbers[culprit]['RANK']} {how}; {GOES_ON}",
                file=sys.stderr,
                flush=True,
            )
        return code


def _start(
    command: Sequence[str], own: Mapping[str, str], told: IO[bytes] | None, scratch: str
) -> subprocess.Popen[bytes]:
    """One process; `told` is the file for what it says, None = it speaks for all."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, **own, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", _WATCHED: "1"}
    if told is not None:
        environment["TMPDIR"] = scratch
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=None if told is None else subprocess.DEVNULL,
        stderr=told,
        # A terminal's interrupt is to reach the watchman alone, who passes it on once.
        start_new_session=True,
    )


@contextlib.contextmanager
def _interrupts(stops: list[int]) -> Iterator[None]:
    """Collects the signals that ask to stop."""
    kinds = [kind for kind in SIGNALS if signal.getsignal(kind) is not signal.SIG_IGN]
    before = {kind: signal.signal(kind, lambda number, _: stops.append(number)) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _wait(processes: Sequence[subprocess.Popen[bytes]], stops: list[int]) -> tuple[int, int]:
    """Waits for the first to end, or for another that fails.

    Returns:
        An exit code, and which process failed before all others; 0 = none but the first.
    """
    passed_on = 0
    while True:
        if len(stops) > passed_on:
            # Process zero alone saves; the others wait for it wherever they are.
            processes[0].send_signal(stops[0] if passed_on == 0 else signal.SIGKILL)
            passed_on = len(stops)
        failed = [n for n, own in enumerate(processes) if own.poll()]
        if processes[0].poll() is None and not failed:
            time.sleep(0.05)
            continue
        if failed and 0 not in failed:
            _patiently([processes[0]])
            if processes[0].poll() in (None, 0, 1):
                return 1, failed[0]
        if not failed:
            _patiently(processes)
        code = processes[0].poll()
        return (1 if code is None or code < 0 else code), 0


def _patiently(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Gives processes time to end by themselves."""
    until = time.monotonic() + _GRACE_SECONDS
    for own in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            own.wait(max(0.0, until - time.monotonic()))


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """No process is left."""
    for own in processes:
        own.kill()
        own.wait()


def end_with_watchman() -> None:
    """Makes this process end when its watchman does, however that came to its end."""
    if os.environ.pop(_WATCHED, ""):
        threading.Thread(target=_listen, daemon=True).start()


def _listen() -> None:
    # Nobody writes; what is read is the end, when the other side is closed.
    while os.read(0, 1):
        pass
    os._exit(1)
