from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark.system.stopping import say_stopped, stoppable, was_stopped
from tests.benchmark.runs.test_runner import start_fakes

ROOT = Path(__file__).parents[3]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """Whoever started the tests, with nohup for example, may ignore a signal; it is inherited."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def stop_a_block(number: int, then: Callable[[], object] = lambda: None) -> None:
    with stoppable():
        assert not was_stopped()
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            then()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_the_block_and_makes_the_exit_code(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [signal.getsignal(own) for own in SIGNALS]
    with pytest.raises(KeyboardInterrupt):
        stop_a_block(number)
    assert was_stopped()
    assert say_stopped() == 128 + number
    assert [signal.getsignal(own) for own in SIGNALS] == before
    assert len(capsys.readouterr().err.splitlines()) == 1
    with stoppable():
        assert not was_stopped()


def test_a_second_signal_does_what_it_does_by_itself() -> None:
    handlers = []
    with pytest.raises(KeyboardInterrupt):
        stop_a_block(signal.SIGTERM, lambda: handlers.extend(map(signal.getsignal, SIGNALS)))
    assert handlers == [signal.SIG_DFL] * len(SIGNALS)


def test_what_ignores_a_signal_goes_on_ignoring_it() -> None:
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
        assert not was_stopped()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, handler)


def test_an_interrupt_in_a_finalizer_prints_nothing_and_is_not_forgotten(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Finalized:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)

    with stoppable():
        Finalized()
        assert was_stopped()
    assert capsys.readouterr().err == ""


def test_a_thread_that_may_set_no_handler_goes_without() -> None:
    done = []

    def work() -> None:
        with stoppable():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_terminated_says_one_line(number: int, tmp_path: Path) -> None:
    log = tmp_path / "fits"
    process = start_fakes(
        tmp_path, "--methods", "alpha", "--set", "alpha.wait=20", "--set", f"alpha.log={log}"
    )
    until = time.monotonic() + 120
    while not log.exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("error: interrupted; finished cells are kept")


def test_an_interrupt_that_a_library_turns_into_an_error_is_no_failed_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.config import read_config
    from benchmark.runs.runner import run
    from tests.fakes import Silent, make_tables

    def swallow(self: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except KeyboardInterrupt:
            raise ValueError from None

    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tests.fakes.Fake._fail", swallow)
    tables = make_tables()
    options = {"task": "next_item", "dataset": "world", "methods": "alpha", "out": tmp_path}
    with pytest.raises(KeyboardInterrupt), stoppable():
        run(read_config(None, options, tables), tables, Silent())
    with stoppable():
        pass


def test_the_program_answers_while_it_imports() -> None:
    script = (
        "import os, signal, sys, builtins\n"
        "from benchmark.start import main\n"
        "load = builtins.__import__\n"
        "def stop(name, *given, **named):\n"
        "    if name == 'typer':\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return load(name, *given, **named)\n"
        "builtins.__import__ = stop\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 143
    assert done.stderr.startswith("error: interrupted")
    assert len(done.stderr.splitlines()) == 1
