from __future__ import annotations

import datetime
import time
from pathlib import Path

import pytest

from benchmark.records.results import load_records
from benchmark.records.summary import latest_rows
from benchmark.system import wall_clock
from benchmark.system.wall_clock import WallClock
from tests.benchmark.survival.bench import SASREC, starter, tables_of
from tests.fakes import Silent

DAY = 86_400


class Clock:
    """The machine's clock, which somebody may set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + self.ahead)
        monkeypatch.setattr(wall_clock, "CLOCK", WallClock())
        monkeypatch.setattr("benchmark.runs.recording.CLOCK", wall_clock.CLOCK)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_the_clock_of_records_never_runs_back(clock: Clock) -> None:
    own = WallClock()
    first = own.now()
    clock.ahead = -DAY
    assert own.now() >= first
    clock.ahead = DAY
    later = datetime.datetime.fromisoformat(own.now())
    assert later - datetime.datetime.fromisoformat(first) >= datetime.timedelta(days=1)
    clock.ahead = 0
    assert datetime.datetime.fromisoformat(own.now()) >= later


def test_a_run_goes_on_where_the_clock_is_set_back(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    start = starter(tables_of("sasrec"), tmp_path / "out")
    whole = starter(tables_of("sasrec"), tmp_path / "whole")("sasrec", SASREC)[0].record

    def set_back(self: Silent, epoch: float, loss: object = None, value: object = None) -> None:
        clock.ahead -= DAY  # at every step of training

    with monkeypatch.context() as patch:
        patch.setattr(Silent, "update", set_back)
        rows = start("sasrec", SASREC, seeds="0,1")
    first, second = (row.record for row in rows)
    assert whole is not None
    assert first is not None
    assert second is not None
    assert first.metrics == whole.metrics
    for record in (first, second):
        assert 0 < record.fit.seconds <= record.fit.wall_seconds < DAY
        assert all(0 < point[0] < DAY for stage in record.fit.stages for point in stage.curve)
        assert record.evaluation_seconds > 0
    assert whole.created <= first.created <= second.created
    # What is finished is not run again, and the newer of two records is the one made last.
    assert [row.record for row in start("sasrec", SASREC, seeds="0,1")] == [first, second]
    assert len(load_records([tmp_path / "out"])) == 2


def test_the_record_made_last_counts_though_the_clock_was_set_back(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    start = starter(tables_of(), tmp_path / "out")
    old = start()[0]
    clock.ahead = -DAY
    monkeypatch.setattr("benchmark.__version__", "9.9.9")  # another version, another cell
    time.sleep(1.1)  # records state whole seconds
    new = start()[0]
    assert old.path != new.path
    rows = latest_rows(load_records([tmp_path / "out"]))
    assert [row.path for row in rows] == [new.path]
