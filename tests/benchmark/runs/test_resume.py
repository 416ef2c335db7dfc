"""A run that is interrupted goes on where it was, on the real method `sasrec`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmark.config import read_config
from benchmark.records.results import Row
from benchmark.registrations import METHODS
from benchmark.registry import Registry
from benchmark.runs.runner import run
from benchmark.tables import MethodEntry, Tables
from tests.fakes import Silent, make_tables

SETTINGS = (
    "transformer={width: 16, layers: 1, heads: 2, dropout: 0.3}",
    "fit={history: 12, batch_size: 16, epochs: 4, looks: 2}",
    "optimizer={learning_rate: 5e-3, accumulate: 2}",
)
MADE_ANEW = {"created", "fit", "evaluation_seconds", "peak_memory_bytes", "cost"}


class Impatient(Silent):
    """Interrupts, or fails, once it has heard of enough progress."""

    def __init__(self, after: int, error: BaseException) -> None:
        super().__init__()
        self.left, self.error = after, error

    def update(self, epoch: float, loss: float | None = None, value: float | None = None) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error


@pytest.fixture
def tables() -> Tables:
    tables = make_tables()
    methods: Registry[MethodEntry] = Registry("method")
    methods.add("sasrec", METHODS["sasrec"])
    return Tables(
        tables.datasets, tables.splits, tables.tasks, methods, tables.metrics, tables.presets
    )


@pytest.fixture
def bench(tmp_path: Path, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))

    def start(out: str, progress: Silent | None = None, **options: object) -> Row:
        # Finished stages are kept for other cells; what an unfinished one leaves is asked here.
        shutil.rmtree(tmp_path / "home", ignore_errors=True)
        options = {
            "task": "next_item",
            "dataset": "world",
            "methods": "sasrec",
            "out": tmp_path / out,
            "set": [f"sasrec.{setting}" for setting in SETTINGS],
            "threads": 1,
            **options,
        }
        return run(read_config(None, options, tables), tables, progress or Silent())[0]

    return start


def examples(row: Row) -> pl.DataFrame:
    assert row.path is not None
    return pl.read_parquet(row.path.parent / "examples.parquet")


def assert_same(one: Row, other: Row) -> None:
    assert one.record is not None
    assert other.record is not None
    assert one.record.model_dump(exclude=MADE_ANEW) == other.record.model_dump(exclude=MADE_ANEW)
    stages = [
        [
            (s.name, s.steps, s.stopped, s.flops, [p[1:] for p in s.curve])
            for s in row.record.fit.stages
        ]
        for row in (one, other)
        if row.record
    ]
    assert stages[0] == stages[1]
    assert examples(one).equals(examples(other))


@pytest.mark.parametrize("after", [1, 7, 13])
def test_an_interrupted_run_gives_the_same_record(bench: Any, tmp_path: Path, after: int) -> None:
    whole = bench("whole")
    with pytest.raises(KeyboardInterrupt):
        bench("parts", Impatient(after, KeyboardInterrupt()))
    unfinished = tmp_path / "parts" / ".unfinished"
    assert [path.name for path in unfinished.glob("*/*.pt")] == ["train.pt"]
    with pytest.raises(KeyboardInterrupt):
        bench("parts", Impatient(3, KeyboardInterrupt()))
    listener = Silent()
    again = bench("parts", listener)
    assert any(f"train goes on from step {after + 3} of" in line for line in listener.lines)
    assert_same(whole, again)
    assert again.record.fit.wall_seconds >= again.record.fit.seconds > 0
    assert not unfinished.exists()


def test_a_cell_that_failed_goes_on_and_force_begins_anew(bench: Any, tmp_path: Path) -> None:
    whole = bench("whole")
    for force, step in ((False, 9), (True, 0)):
        row = bench("parts", Impatient(9, RuntimeError("it broke")), force=True)
        assert row.error == "RuntimeError: it broke"
        listener = Silent()
        assert_same(whole, bench("parts", listener, force=force))
        heard = [line for line in listener.lines if "goes on from" in line]
        assert [f"step {step} of" in line for line in heard] == [True] * bool(step)
        assert not (tmp_path / "parts" / ".unfinished").exists()
        # The second time round there is a record, which only `force` replaces.


def test_what_evaluation_lost_is_not_trained_again(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bench("whole")
    with monkeypatch.context() as patch:
        patch.setattr("benchmark.tasks.next_item.NextItem.evaluate", lambda *_, **__: 1 / 0)
        assert bench("parts").error.startswith("ZeroDivisionError")
    listener = Silent()
    assert_same(whole, bench("parts", listener))
    steps = whole.record.fit.stages[0].steps
    assert f"train goes on from step {steps} of {steps}" in listener.lines


def test_an_unfinished_cell_is_no_record(bench: Any, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench("out", Impatient(5, KeyboardInterrupt()))
    assert not list((tmp_path / "out").rglob("record.json"))
    assert not [p for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")]


def test_a_finished_cell_forgets_what_a_forced_run_began(bench: Any, tmp_path: Path) -> None:
    first = bench("out")
    with pytest.raises(KeyboardInterrupt):
        bench("out", Impatient(5, KeyboardInterrupt()), force=True)
    assert bench("out").record == first.record
    assert not (tmp_path / "out" / ".unfinished").exists()
