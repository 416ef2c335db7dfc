from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli import main
from benchmark.config import read_config
from benchmark.forecast.forecast import Ahead, Forecast, forecast
from benchmark.records.results import SCHEMA_VERSION
from benchmark.runs.runner import run
from benchmark.runs.smaller_batches import Smaller
from benchmark.variants import Variant
from tests.benchmark.survival.bench import SASREC, tables_of
from tests.fakes import Silent

TABLES = tables_of("sasrec", "user_encoder", "user_llm")
USER_LLM = (
    "user_encoder.transformer={width: 16, layers: 1, heads: 2}",
    "user_encoder.fit={history: 8, batch_size: 16, epochs: 1, looks: 1}",
    "user_llm.language_model={width: 16, layers: 1, heads: 2, vocabulary: 300, epochs: 1}",
    "user_llm.fusion.heads=2",
    "user_llm.align.steps=6",
    "user_llm.tune={targets: 400, windows: 12, looks: 1}",
)


class Desk:
    """A folder of results, asked what a run would take, and run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"

    def config(self, methods: str, sets: Any, options: dict[str, Any]) -> Any:
        given = {
            "task": "next_item",
            "dataset": "world",
            "methods": methods,
            "out": self.out,
            "set": list(sets),
            "threads": 1,
            **options,
        }
        return read_config(None, given, TABLES)

    def ask(
        self, methods: str = "sasrec", sets: Any = SASREC, variants: Any = None, **options: Any
    ) -> Forecast:
        before = self.files()
        found = forecast(self.config(methods, sets, options), TABLES, Silent(), variants)
        assert self.files() == before
        return found

    def run(
        self, methods: str = "sasrec", sets: Any = SASREC, progress: Any = None, **options: Any
    ) -> Any:
        return run(self.config(methods, sets, options), TABLES, progress or Silent())

    def files(self) -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.stat().st_size, path.stat().st_mtime_ns)
            for path in sorted(self.folder.rglob("*"))
        }


class Impatient(Silent):
    """Interrupts training after four steps."""

    steps = 0

    def update(self, epoch: float, loss: Any = None, value: Any = None) -> None:
        self.steps += 1
        if self.steps == 4:
            raise KeyboardInterrupt


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    return Desk(tmp_path)


def told(cell: Ahead) -> dict[str, str]:
    return {stage.name: stage.state for stage in cell.stages}


def test_what_is_estimated_is_what_then_runs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("lightning.Trainer.fit", lambda *_: pytest.fail("it trains"))
        found = desk.ask("user_encoder,user_llm", USER_LLM)
    assert not desk.out.exists()
    assert not (desk.folder / "home").exists()
    encoder, user_llm = found.cells
    assert [cell.state for cell in found.cells] == ["to do", "to do"]
    assert told(encoder) == {"encoder": "new"}
    assert told(user_llm) == {
        "encoder": "shared", "language_model": "new", "align": "new", "tune": "new",
    }  # fmt: skip
    rows = desk.run("user_encoder,user_llm", USER_LLM)
    for cell, row in zip(found.cells, rows, strict=True):
        stages = row.record.fit.stages
        assert [own.steps for own in cell.stages] == [stage.steps for stage in stages]
        assert [own.flops for own in cell.stages] == pytest.approx(
            [stage.flops for stage in stages], rel=0.2
        )
        trained = sum(stage.flops for stage in stages if not stage.reused)
        assert cell.flops == pytest.approx(trained, rel=0.2)
        assert cell.seconds > 0
    after = desk.ask("user_encoder,user_llm", USER_LLM)
    assert [cell.state for cell in after.cells] == ["done", "done"]
    assert after.totals["left"] == {"cells": 0, "flops": 0, "seconds": 0}
    assert after.totals["all"]["flops"] == pytest.approx(
        sum(s.flops for row in rows for s in row.record.fit.stages if not s.reused)
    )
    # Another setting of the last stage finds the stages before it in the cache.
    other = desk.ask("user_llm", [*USER_LLM, "user_llm.query='Then:'"])
    (cell,) = other.cells
    assert cell.state == "to do"
    assert told(cell)["encoder"] == told(cell)["language_model"] == "cached"
    assert cell.flops < user_llm.flops
    assert "stages in --out that ran on 1 thread of" in other.calibrated_on
    assert cell.judged


def test_force_counts_what_is_done(desk: Desk) -> None:
    desk.run()
    (done,), (again,) = desk.ask().cells, desk.ask(force=True).cells
    assert (done.state, again.state) == ("done", "to do")
    assert done.left_flops == 0
    assert again.stages[0].steps == done.stages[0].steps


def test_an_unfinished_cell_says_how_far_it_is(desk: Desk) -> None:
    whole = desk.ask().cells[0]
    with pytest.raises(KeyboardInterrupt):
        desk.run(progress=Impatient())
    (cell,) = desk.ask().cells
    (stage,) = cell.stages
    assert cell.state == "begun"
    assert (stage.begun, stage.steps) == (4, whole.stages[0].steps)
    assert cell.left_flops == pytest.approx(cell.flops * (1 - 4 / stage.steps))
    assert 0 < cell.left_seconds < cell.seconds
    (other,) = desk.ask(sets=[*SASREC, "sasrec.optimizer.clip=0.5"]).cells
    assert other.state == "to do"
    # A checkpoint that a run could not go on from counts for nothing.
    (path,) = desk.out.rglob("*.pt")
    path.write_bytes(path.read_bytes()[:-100])
    (cell,) = desk.ask().cells
    assert (cell.state, cell.stages[0].begun) == ("begun", 0)


def test_force_counts_on_nothing_that_the_run_forgets(desk: Desk) -> None:
    whole = desk.ask().cells[0]
    with pytest.raises(KeyboardInterrupt):
        desk.run(progress=Impatient())
    (folder,) = desk.out.glob(".unfinished/*")
    # Remembered as after a lack of memory: half the batch, and here twice the steps.
    Smaller({"sasrec.fit.batch_size": (16, 8)}).write(folder)
    (begun,), (again,) = desk.ask().cells, desk.ask(force=True).cells
    assert (begun.state, again.state) == ("begun", "to do")
    assert begun.stages[0].steps > whole.stages[0].steps
    assert (again.stages[0].begun, again.stages[0].steps) == (0, whole.stages[0].steps)
    assert again.left_flops == again.flops
    assert again.left_seconds == again.seconds
    desk.run(force=True)
    assert not folder.exists()


def test_a_longer_budget_costs_more_in_proportion(desk: Desk) -> None:
    twice = [text.replace("epochs: 2", "epochs: 4") for text in SASREC]
    (once,), (longer,) = desk.ask().cells, desk.ask(sets=twice).cells
    assert longer.stages[0].steps == 2 * once.stages[0].steps
    assert longer.flops == pytest.approx(2 * once.flops, rel=0.2)


def test_rows_that_cannot_run_and_equal_ones_cost_nothing(desk: Desk) -> None:
    found = desk.ask("writer,alpha,broken", (), task="next_item,writing")
    states = {(cell.row.method, cell.row.task): cell.state for cell in found.cells}
    assert states["writer", "next_item"] == "n/a"
    assert states["broken", "next_item"] == "n/a"
    variants = [Variant("sasrec", axes={"x": value}) for value in (1, 2)]
    first, second = desk.ask(variants=variants).cells
    assert (first.state, second.state) == ("to do", "the same")
    assert second.note == f"as {first.title}"
    assert found.totals["all"]["cells"] == 2


def test_what_nobody_can_tell_is_unknown(desk: Desk) -> None:
    (cell,) = desk.ask("alpha", ()).cells  # it fits in a way of its own
    assert cell.flops is None
    assert cell.seconds is None
    found = desk.ask("alpha", ())
    assert found.totals["unknown"] == 1
    assert "measured" not in found.calibrated_on
    (cell,) = desk.ask("user_llm", USER_LLM, llm="somebody/large").cells
    assert cell.seconds is None
    assert "downloads nothing" in cell.note


def test_a_newer_record_and_a_broken_one(desk: Desk) -> None:
    (row,) = desk.run()
    values = json.loads(row.path.read_text())
    row.path.write_text(json.dumps({**values, "schema_version": SCHEMA_VERSION + 1}))
    (cell,) = desk.ask().cells
    assert cell.state == "error"
    assert str(row.path) in cell.note
    row.path.write_text("{")
    assert desk.ask().cells[0].state == "to do"


@pytest.mark.parametrize(
    "command",
    [
        "run --methods sasrec,alpha --seeds 0,1",
        "sweep --methods sasrec --axis sasrec.optimizer.weight_decay --values 0.01,0.1",
        "ablate --axis fusion --values cross_attention",
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_commands_list_cells_and_write_nothing(
    desk: Desk, command: str, as_json: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    sets = USER_LLM if "ablate" in command else SASREC
    arguments = [*command.split(), "--task", "next_item", "--dataset", "world", "--dry-run"]
    arguments += ["--out", str(desk.out), "--threads", "1", *["--json"] * as_json]
    for text in sets:
        arguments += ["--set", text]
    assert main(arguments, TABLES) == 0
    assert not desk.files()
    said = capfd.readouterr().out
    if as_json:
        cells = json.loads(said)["cells"]
        assert all(cell["state"] == "to do" for cell in cells)
        assert any(stage["flops"] > 0 for cell in cells for stage in cell["stages"])
    else:
        assert "to do" in said
        assert "calibrated on nothing that has run" in said
        assert "nothing was trained or written" in said


def test_it_says_that_a_scheduler_is_not_asked(
    desk: Desk, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "run",
        "--task",
        "next_item",
        "--dataset",
        "world",
        "--methods",
        "alpha",
        "--json",
        "--dry-run",
        "--out",
    ]
    assert main([*arguments, str(desk.out), "--scheduler", "tcp://127.0.0.1:1"], TABLES) == 0
    said = capfd.readouterr()
    assert json.loads(said.out)["cells"]
    assert "note: --scheduler tcp://127.0.0.1:1 is not asked in a dry run" in said.err


def test_it_does_not_go_with_a_count_by_shapes(capfd: pytest.CaptureFixture[str]) -> None:
    command = "sweep --axis seq_len --values 4 --cost-only --llm-config gpt2 --dry-run"
    assert main(command.split()) == 2
    assert "--cost-only runs nothing" in capfd.readouterr().err
