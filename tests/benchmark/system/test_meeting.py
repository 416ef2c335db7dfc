"""Processes that are to meet, and one of which is not there."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import UserError
from benchmark.system import meeting
from tests.processes import ROOT, environment, free_port

HERE = "127.0.0.1"
PATIENCE = timedelta(minutes=5)
IMPATIENT = (
    "import sys; from benchmark.system import meeting; from benchmark.cli import main;"
    "meeting.LIMIT_SECONDS = 1.0; sys.exit(main(sys.argv[1:]))"
)
RUN = [
    "run", "--task", "next_item", "--dataset", "synthetic", "--preset", "smoke",
    "--methods", "popularity", "--threads", "1", "--num-nodes", "2",
]  # fmt: skip


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of somebody who takes connections and never says anything."""
    with socket.socket() as listener:
        listener.bind((HERE, 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "LIMIT_SECONDS", 0.5)


def call(tmp_path: Path, rank: int, port: int) -> subprocess.Popen[str]:
    """The command as one process of two, which gives up soon."""
    numbers = {
        "RANK": str(rank), "LOCAL_RANK": "0", "WORLD_SIZE": "2",
        "MASTER_ADDR": HERE, "MASTER_PORT": str(port),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, *RUN, "--out", str(tmp_path / "out")],
        env=environment(**numbers, USERLLM_BENCH_HOME=str(tmp_path / "home")),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_who_is_alone_says_so_in_one_line_and_ends(
    tmp_path: Path, mute: int, started: list[subprocess.Popen[str]]
) -> None:
    closed, own = free_port(), free_port()
    silent = "process zero at 127.0.0.1:{} does not answer: is it running, and reachable from here?"
    expected = {
        (1, closed): silent.format(closed),
        (1, mute): silent.format(mute),
        (0, own): f"1 of 2 processes have come to 127.0.0.1:{own}, and number 1 not within",
    }
    started += [call(tmp_path, rank, port) for rank, port in expected]
    for process, words in zip(started, expected.values(), strict=True):
        said = process.communicate(timeout=200)[1]
        assert process.returncode == 2, said
        assert said.startswith(f"error: {words}")
        assert said.count("\n") == 1


def test_all_who_come_find_each_other() -> None:
    port, size = free_port(), 3
    everybody = threading.Barrier(size)

    def come(rank: int) -> bytes:
        store = meeting.meet(rank, size, HERE, port, host=rank == 0, patience=PATIENCE)
        if rank == 1:
            store.set("word", "hello")
        word = store.get("word")
        everybody.wait(60)  # or the store goes with who keeps it
        return word

    with ThreadPoolExecutor(size) as threads:
        assert list(threads.map(come, range(size))) == [b"hello"] * size


@pytest.mark.usefixtures("short")
def test_process_zero_says_which_port_is_taken(mute: int) -> None:
    with pytest.raises(UserError, match=rf"meet at .*:{mute}: .*; give another MASTER_PORT"):
        meeting.meet(0, 2, HERE, mute, host=True, patience=PATIENCE)


def test_that_process_zero_has_gone_meanwhile_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def set(self, name: str, value: str) -> None:
            raise RuntimeError("Connection reset by peer")

    def answer(*_: Any, **__: Any) -> Gone:
        return Gone()

    monkeypatch.setattr("torch.distributed.TCPStore", answer)
    with pytest.raises(UserError, match=r"process zero at .*:1 has gone before all had come"):
        meeting.meet(1, 2, HERE, 1, host=False, patience=PATIENCE)


@pytest.mark.usefixtures("short")
def test_a_call_that_hangs_is_left_and_one_that_fails_fails() -> None:
    never = threading.Event()
    with pytest.raises(UserError, match=r"^no port is open \(waited .* min\)$"):
        meeting.within_limit(never.wait, "no port is open")
    never.set()
    assert meeting.within_limit(never.is_set, "") is True
    with pytest.raises(ZeroDivisionError):
        meeting.within_limit(lambda: 1 / 0, "")
