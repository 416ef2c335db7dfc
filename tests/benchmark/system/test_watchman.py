from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.system.watchman import run_together
from tests.processes import ROOT, alive, environment

PATIENCE_SECONDS = 200


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


WAITS = """
import time
from benchmark.system.watchman import end_with_watchman
end_with_watchman()
time.sleep(600)
"""
FAILS = """
import os, sys, time
if os.environ["RANK"] == "1":
    print("something before", file=sys.stderr)
    sys.exit("error: it ran out of luck")
time.sleep(600)
"""


def script(text: str, marker: Path) -> list[str]:
    return [sys.executable, "-c", text, str(marker)]


def test_who_failed_is_told_and_nobody_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmark.system.watchman._GRACE_SECONDS", 0.1)
    command = script(FAILS, tmp_path)
    assert run_together(command, [{"RANK": str(rank)} for rank in range(3)]) == 1
    assert "error: process 1 ended with code 1 (it ran out of luck)" in capfd.readouterr().err
    assert not alive(str(tmp_path))


def test_processes_end_with_their_watchman(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    inner = script(WAITS, tmp_path)
    outer = (
        f"from benchmark.system.watchman import run_together as r; r({inner!r}, [dict(), dict()])"
    )
    watchman = subprocess.Popen(
        [sys.executable, "-c", outer], env=environment(), cwd=ROOT, text=True
    )
    started.append(watchman)
    wait_until(lambda: len(alive(str(tmp_path))) == 3)  # its own command line names the folder
    watchman.kill()
    assert watchman.wait() == -signal.SIGKILL  # it had no time to end them
    wait_until(lambda: not alive(str(tmp_path)))
    assert not alive(str(tmp_path))


STOPS = """
import os, pathlib, sys, time
(pathlib.Path(sys.argv[1]) / os.environ["RANK"]).touch()
try:
    time.sleep(600)
except KeyboardInterrupt:
    (pathlib.Path(sys.argv[1]) / f"stopped {os.environ['RANK']}").touch()
    sys.exit(130)
"""


def test_an_interrupt_reaches_the_first_alone(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    inner = script(STOPS, tmp_path)
    numbers = [{"RANK": str(rank)} for rank in range(2)]
    outer = f"""
import sys
from benchmark.system.watchman import run_together
sys.exit(run_together({inner!r}, {numbers!r}))
"""
    watchman = subprocess.Popen(
        [sys.executable, "-c", outer], env=environment(), cwd=ROOT, text=True
    )
    started.append(watchman)
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    watchman.send_signal(signal.SIGINT)
    assert watchman.wait(PATIENCE_SECONDS) == 130
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "stopped 0"}
    assert not alive(str(tmp_path))
