"""Two processes of one group, on the processor, by gloo."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def environment(**more: str) -> dict[str, str]:
    """That of a process of this repository; without the numbers of an outer group."""
    numbers = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
    kept = {name: value for name, value in os.environ.items() if name not in numbers}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run_two(module: str, *arguments: str, seconds: float = 240.0) -> None:
    """Runs `python -m module` as two processes; fails where one does, or takes too long."""
    codes, said = codes_of_two(module, *arguments, seconds=seconds)
    assert codes == [0, 0], "\n".join(said)


def codes_of_two(
    module: str, *arguments: str, seconds: float = 240.0
) -> tuple[list[int], list[str]]:
    """Runs `python -m module` as two processes: exit codes, and what each said on stderr."""
    port = str(free_port())
    started = [
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=environment(
                RANK=str(rank),
                LOCAL_RANK=str(rank),
                WORLD_SIZE="2",
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=port,
            ),
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [own.communicate(timeout=seconds)[1] for own in started]
    finally:
        for own in started:
            own.kill()
    return [own.returncode for own in started], said


def alive(marker: str) -> list[int]:
    """Processes that have a text in their command line, this one left out."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                line = (folder / "cmdline").read_bytes().decode(errors="replace")
                zombie = ") Z " in (folder / "stat").read_text()
            except OSError:
                continue
            if marker in line and not zombie:
                found.append(int(folder.name))
    return found


def kill(process: subprocess.Popen[str]) -> None:
    """Ends a process that a failed test may have left."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that a test starts; none is left behind."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for own in processes:
        kill(own)
