"""A run on several devices, by the command line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmark.cli import main
from benchmark.config import RunConfig, chosen_methods, read_layers
from benchmark.errors import UserError
from benchmark.records.results import read_record
from benchmark.runs.planning import open_world, planned_cells
from benchmark.system import ranks
from benchmark.system.launching import launch, spread_of, threads_a_process
from benchmark.variants import Variant
from tests.fakes import make_tables
from tests.processes import ROOT, alive, environment

RUN = [
    "run", "--task", "next_item", "--dataset", "synthetic", "--preset", "smoke",
    "--no-keep-models", "--threads", "1", "--methods", "sasrec",
    "--set", "sasrec.transformer={width: 16, layers: 1, dropout: 0}",
    "--set", "next_item.batch_size=37",
]  # fmt: skip
PATIENCE_SECONDS = 200
NOT_COMPARED = {"created", "fit", "evaluation_seconds", "peak_memory_bytes", "cost", "command",
                "config_hash", "host"}  # fmt: skip


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))


def start(out: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmark", *RUN, "--out", str(out), *more],
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Reads what a process says until it has said something."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it ended without saying {text!r}")


def record_of(out: Path) -> Any:
    (path,) = out.glob("*/record.json")
    return read_record(path), pl.read_parquet(path.parent / "examples.parquet")


def test_two_processes_leave_the_record_of_one_also_after_an_interrupt(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    assert main([*RUN, "--out", str(tmp_path / "one")]) == 0
    two = tmp_path / "two"
    first = start(two, "--devices", "2")
    started.append(first)
    wait_for(first, "sasrec seed 0: train")
    first.send_signal(signal.SIGINT)
    out, said = first.communicate(timeout=PATIENCE_SECONDS)
    assert first.returncode == 130, said
    assert "interrupted; finished cells are kept" in said
    assert out == ""
    assert not alive(str(two))
    again = start(two, "--devices", "2", "--json")
    started.append(again)
    out, said = again.communicate(timeout=PATIENCE_SECONDS)
    assert again.returncode == 0, said
    assert len(json.loads(out)["rows"]) == 1  # one process speaks
    assert said.count("sasrec seed 0: done in") == 1
    assert not alive(str(two))
    assert not list(two.glob(".unfinished/*"))

    (one, examples), (other, found) = record_of(tmp_path / "one"), record_of(two)
    assert one.model_dump(exclude=NOT_COMPARED) == other.model_dump(exclude=NOT_COMPARED)
    assert one.config_hash != other.config_hash
    assert {"devices": 2, "distributed": "ddp", "threads": 1}.items() <= other.host.items()
    assert "devices" not in one.host
    columns = [name for name in examples.columns if not name.endswith("logprob")]
    assert found.select(columns).equals(examples.select(columns))
    assert found["user"].n_unique() == len(found)
    (mine,), (theirs,) = one.fit.stages, other.fit.stages
    assert (mine.steps, mine.targets) == (theirs.steps, theirs.targets)
    assert mine.flops == pytest.approx(theirs.flops, rel=0.01)
    for (_, step, value), (_, their_step, their_value) in zip(
        mine.curve, theirs.curve, strict=True
    ):
        assert (step, value) == (their_step, pytest.approx(their_value))


def test_the_death_of_one_process_ends_all(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    endless = ["--set", "sasrec.fit.epochs=400", "--set", "sasrec.fit.targets=null"]
    run = start(tmp_path / "out", "--devices", "2", *endless)
    started.append(run)
    wait_for(run, "sasrec seed 0: train")
    own = set(alive(str(tmp_path / "out"))) - {run.pid}
    assert len(own) == 2
    (helper,) = [n for n in own if b"RANK=1\0" in Path(f"/proc/{n}/environ").read_bytes()]
    os.kill(helper, signal.SIGKILL)
    _, said = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 1
    assert "the same command goes on from there" in said
    assert not alive(str(tmp_path / "out"))
    assert not list((tmp_path / "out").glob("*/record.json"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--devices", "99999"], "there are .* processors here; choose at most"),
        (["--accelerator", "gpu", "--devices", "2"], "CUDA GPU"),
        (["--distributed", "fsdp"], "add --devices"),
        (
            ["--devices", "2", "--distributed", "fsdp"],
            "and sasrec trains none; these do: text_prompt",
        ),
        (["--devices", "2", "--distributed", "zero"], "'ddp' or 'fsdp'"),
        (["--num-nodes", "2"], "MASTER_ADDR, MASTER_PORT and NODE_RANK"),
        (["--devices", "0"], "--devices"),
        (["--precision", "fp8"], "'auto', 'fp32' or 'bf16'"),
        (["--precision", "bf16", "--methods", "popularity"], "no method of this run has an opt"),
    ],
)
def test_wrong_input_is_one_line(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bare = RUN[: RUN.index("--methods" if "--methods" in options else "--set")]
    assert main([*bare, "--out", str(tmp_path), *options]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert re.search(words, said)


def test_numbers_that_do_not_fit_the_options_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("MASTER_PORT", "1"),
                        ("MASTER_ADDR", "127.0.0.1"), ("WORLD_SIZE", "4")):  # fmt: skip
        monkeypatch.setenv(name, value)
    assert main([*RUN, "--out", str(tmp_path), "--devices", "2"]) == 2
    assert "WORLD_SIZE=4, but --devices times --num-nodes is 2" in capsys.readouterr().err
    monkeypatch.delenv("LOCAL_RANK")
    assert main([*RUN, "--out", str(tmp_path), "--devices", "2"]) == 2
    assert "needs RANK, LOCAL_RANK" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "name", "value", "bounds"),
    [
        *[(("--num-nodes", "2"), "MASTER_PORT", port, "1 to 65535") for port in ("99999", "abc")],
        (("--num-nodes", "2"), "NODE_RANK", "²", "0 to 1"),
        (("--num-nodes", "2"), "NODE_RANK", "2", "0 to 1"),
        *[(("--devices", "2"), "MASTER_PORT", port, "1 to 65535") for port in ("65536", "0", "²")],
        (("--devices", "2"), "RANK", "2", "0 to 1"),
        (("--devices", "2"), "LOCAL_RANK", "-1", "0 to 1"),
    ],
)
def test_the_variable_that_is_wrong_is_named(
    options: tuple[str, ...],
    name: str,
    value: str,
    bounds: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    places = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "NODE_RANK": "0"}
    torchrun = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}
    given = places | (torchrun if "--devices" in options else {}) | {name: value}
    for variable, text in given.items():
        monkeypatch.setenv(variable, text)
    assert main([*RUN, "--out", str(tmp_path), *options]) == 2
    said = capsys.readouterr().err
    assert said == f"error: {name}={value} is no whole number from {bounds}\n"


def config(**changes: object) -> RunConfig:
    return RunConfig.model_validate({"task": ["next_item"], **changes})


def test_threads_are_divided_among_the_processes_of_a_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert threads_a_process(config(threads=8)) == 8
    assert threads_a_process(config(threads=8, devices=4)) == 2
    assert threads_a_process(config(threads=1, devices=4, num_nodes=2)) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert threads_a_process(config(devices=2)) == 3
    monkeypatch.setenv("RANK", "1")  # the watchman, or torchrun, has divided them
    assert threads_a_process(config(devices=2)) == 6


def test_one_device_is_nothing_to_launch_and_no_fact() -> None:
    launch(config(), [])
    assert spread_of(config()).facts() == {}
    assert spread_of(config(micro_batches=3)).facts() == {"micro_batches": 3}
    assert spread_of(config(devices=2, num_nodes=2)).facts()["devices"] == 4


def test_who_is_alone_for_a_while_says_the_same_of_the_run() -> None:
    ranks.join(spread_of(config(micro_batches=3)))
    try:
        with ranks.alone():
            assert ranks.spread().shares == 1
            assert ranks.spread().facts() == {"micro_batches": 3}
        assert ranks.spread().shares == 3
    finally:
        ranks.leave()


def test_more_devices_than_there_are_by_a_file_too() -> None:
    with pytest.raises(UserError, match="--devices 5000"):
        launch(config(devices=5000), [])


def test_methods_without_a_language_model_have_no_row_under_fsdp() -> None:
    tables = make_tables()
    asked = config(dataset="world", devices=2, distributed="fsdp", threads=1)
    layers = read_layers(asked, tables)
    world = open_world(asked, tables, layers, None, "")
    names = chosen_methods(asked, tables)
    cells = planned_cells(asked, tables, layers, world, [Variant(name) for name in names])
    reasons = {row.method: row.na for row, cell in cells if cell is None}
    dividing = {name for name in names if tables.methods[name].uses_llm}
    assert dividing
    assert not dividing & set(reasons)
    told = [reason for reason in reasons.values() if "it trains none: use ddp" in reason]
    assert told
