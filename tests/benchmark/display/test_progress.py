import io
import logging
import sys
import warnings

import pytest

from benchmark.display.durations import duration
from benchmark.display.progress import (
    Pace,
    PlainProgress,
    TerminalProgress,
    open_progress,
    quiet_libraries,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def plain():
    stream, clock = io.StringIO(), Clock()
    return PlainProgress(stream, clock), stream, clock


def test_plain_lines_name_method_stage_epoch_loss_and_time_left(plain):
    progress, stream, clock = plain
    progress.begin("sasrec seed 0")
    progress.stage("fit", 10)
    clock.now = 20
    progress.update(4, loss=1.5, value=0.25)
    assert stream.getvalue().splitlines()[-1] == (
        "sasrec seed 0: fit: epoch 4/10, loss 1.500, validation 0.2500, 30s left"
    )


def test_plain_lines_are_few(plain):
    progress, stream, clock = plain
    progress.begin("m")
    progress.stage("fit", 100)
    for step in range(1000):
        clock.now = step / 100
        progress.update(step / 10, loss=1.0)
    assert len(stream.getvalue().splitlines()) <= 5
    progress.stage("next")
    progress.close()
    assert "fit ends after 10s" in stream.getvalue()


def test_plain_lines_hold_no_control_characters(plain):
    progress, stream, _ = plain
    progress.begin("m\x1b[31m\r")
    progress.note("a\tb\x07\nc")
    assert all(c.isprintable() or c == "\n" for c in stream.getvalue())
    assert len(stream.getvalue().splitlines()) == 2


def test_what_is_not_said_again_stays():
    pace = Pace(Clock())
    pace.restart("fit", None)
    pace.update(1, 2.0, None)
    pace.update(2, None, 0.5)
    assert pace.describe() == "epoch 2, loss 2.000, validation 0.5000"
    assert pace.left_seconds is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0s"), (59.4, "59s"), (60, "1m 00s"), (3599.9, "1h 00m")]
)
def test_durations_are_readable(seconds, text):
    assert duration(seconds) == text


def test_without_a_terminal_lines_are_plain():
    assert isinstance(open_progress(io.StringIO()), PlainProgress)


def test_on_a_terminal_there_is_a_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    progress = open_progress(terminal)
    assert isinstance(progress, TerminalProgress)
    progress.begin("sasrec seed 0")
    progress.stage("fit", 3)
    progress.update(1, loss=2.0, value=0.5)
    progress.note("a line [not markup]")
    progress.close()
    written = terminal.getvalue()
    assert "sasrec seed 0: fit" in written
    assert "a line [not markup]" in written
    assert "epoch 1/3, loss 2.000, validation 0.5000" in written


def test_libraries_are_quiet_and_stdout_is_kept_clean(capfd):
    with quiet_libraries():
        logging.getLogger("lightning.pytorch").warning("a tip")
        warnings.warn("a complaint", stacklevel=1)
        print("talk")
        print("more talk", file=sys.stdout)
    logging.getLogger("ours").warning("heard again")
    out, err = capfd.readouterr()
    assert out == ""
    assert "tip" not in err
    assert "complaint" not in err
    assert "talk" in err
