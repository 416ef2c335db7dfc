import errno
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from benchmark.config import read_config
from benchmark.errors import UserError
from benchmark.metrics.ranking import recompute
from benchmark.records.results import load_records, read_record
from benchmark.runs import cell as cells
from benchmark.runs.failures import disk_is_full
from benchmark.runs.runner import run
from benchmark.system import cores
from tests.fakes import Silent, make_tables

TABLES = make_tables()
ROOT = Path(__file__).parents[3]
KNOWN_ONLY_HERE = ("created", "command", "fit", "evaluation_seconds", "peak_memory_bytes", "cost")


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Runs the fakes; every fit leaves a line in `fits`."""
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))

    def start(methods="alpha", sets=(), **options):
        log = [f"{name}.log={tmp_path / 'fits'}" for name in methods.split(",") if name != "broken"]
        options = {
            "task": "next_item",
            "dataset": "world",
            "methods": methods,
            "out": tmp_path / "out",
            "set": [*log, *sets],
            "threads": 1,
            **options,
        }
        bench.progress = Silent()
        return run(read_config(None, options, TABLES), TABLES, bench.progress, "the command")

    def fits():
        file = tmp_path / "fits"
        return len(file.read_text().splitlines()) if file.exists() else 0

    start.fits, start.out = fits, tmp_path / "out"
    bench = start
    return start


def test_cells_are_seed_by_method_in_order(bench):
    rows = bench("beta,alpha", seeds="1,0")
    assert [(row.seed, row.method) for row in rows] == [
        (1, "beta"), (1, "alpha"), (0, "beta"), (0, "alpha"),
    ]  # fmt: skip
    assert len({row.path for row in rows}) == 4
    assert all(row.path.name == "record.json" and row.path.exists() for row in rows)
    assert rows[0].path.parent.name.startswith("world-next_item-beta-s1-")


def test_a_record_states_everything(bench):
    record = bench("alpha", ["alpha.epochs=3"])[0].record
    assert record.dataset.name == "world"
    assert record.dataset.fingerprint
    assert record.dataset.target_hash
    assert (record.task.name, record.task.version) == ("next_item", "1")
    assert record.protocol.seen in ("exclude", "include")
    assert record.protocol.tie_rule
    assert record.protocol.split_description
    assert record.protocol.history_length == 1
    assert record.method.settings["epochs"] == 3
    assert record.method.changes["epochs"] == 3
    assert record.budget["limits"] == {"epochs": 3}
    assert record.budget["text"] == "count 3 ep"
    assert record.fit.stages[0].curve[-1][1] == 10
    assert record.fit.parameters == 12
    assert record.fit.notes == ("a note",)
    assert record.peak_memory_bytes > 10**6
    assert record.host["threads"] == 1
    assert set(record.host) >= {"cpu", "physical_cores", "memory_bytes", "os"}
    assert record.versions["torch"]
    assert record.command == "the command"
    assert record.created.endswith("+00:00")


def test_published_numbers_follow_from_the_examples(bench):
    row = bench()[0]
    examples = pl.read_parquet(row.path.parent / "examples.parquet")
    assert row.record.examples == len(examples) == 80
    for name, value in row.record.metrics.items():
        assert value == pytest.approx(examples[name].mean(), abs=1e-12)
        assert row.record.intervals[name][0] <= value <= row.record.intervals[name][1]
    again = recompute(examples)
    assert {name: again[name].mean() for name in row.record.metrics} == pytest.approx(
        row.record.metrics
    )


def test_finished_cells_are_skipped_unless_forced(bench):
    first = bench()[0]
    assert bench()[0].record == first.record
    assert bench.fits() == 1
    bench(force=True)
    assert bench.fits() == 2
    assert not list(bench.out.glob(".tmp-*"))


def test_what_changes_numbers_makes_another_cell(bench):
    paths = {
        bench(**options)[0].path
        for options in (
            {},
            {"seeds": "1"},
            {"seen": "include"},
            {"seen": "exclude"},
            {"part": "validation"},
            {"preset": "full"},
            {"llm": "org/model"},
            {"sets": ["alpha.epochs=7"]},
            {"sets": ["next_item.k=11"]},
        )
    }
    # `auto` is one of the two.
    assert len(paths) == 8
    assert bench(force=True, threads=2)[0].path in paths


def test_a_language_model_concerns_only_the_methods_that_use_it(bench):
    before = bench("alpha,beta")
    after = bench("alpha,beta", llm="org/model")
    assert before[0].path != after[0].path
    assert before[1].path == after[1].path
    assert after[0].record.llm == {"name": "org/model"}
    assert after[1].record.llm is None


def test_equal_seeds_give_equal_numbers(bench):
    first = bench("alpha,beta", seeds="0,1")
    again = bench("beta,alpha", seeds="1,0", force=True)
    named = {(row.method, row.seed): row.record for row in again}
    for row in first:
        other = named[row.method, row.seed]
        skip = set(KNOWN_ONLY_HERE)
        assert row.record.model_dump(exclude=skip) == other.model_dump(exclude=skip)


def test_seeding_covers_every_generator():
    import random

    import numpy as np
    import torch

    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    cells.seed_everything(3, 1)
    first = draw()
    cells.seed_everything(3, 1)
    assert draw() == first
    cells.seed_everything(4, 1)
    assert draw() != first


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        ("nan", "the loss of stage count is nan"),
        ("memory", "out of memory"),
        ("exit", "SystemExit: 3"),
        ("crash", "RuntimeError: it broke on two lines"),
    ],
)
def test_a_failing_cell_is_a_row_and_the_others_go_on(bench, fail, reason):
    rows = bench("alpha,beta", [f"alpha.fail={fail}"])
    assert rows[0].error == reason
    assert rows[0].record is None
    assert "Traceback" in rows[0].log.read_text()
    assert not (rows[0].log.parent / "record.json").exists()
    assert rows[1].record is not None
    assert not list(bench.out.glob(".tmp-*"))


def test_a_failed_cell_runs_again(bench, monkeypatch):
    monkeypatch.setattr("tests.fakes.Fake._fail", lambda self: 1 / 0)
    failed = bench()[0]
    assert failed.error.startswith("ZeroDivisionError")
    monkeypatch.undo()
    row = bench()[0]
    assert row.path.parent == failed.log.parent
    assert not failed.log.exists()


def test_a_full_disk_stops_and_the_next_call_goes_on(bench, monkeypatch):
    rows = bench("alpha,beta,beta_deep", ["beta.fail=disk"])
    assert rows[0].record is not None
    assert "disk is full" in rows[1].error
    assert rows[2].error.startswith("not run: the disk is full")
    again = bench("alpha,beta,beta_deep")
    assert again[0].path == rows[0].path
    assert all(row.record is not None for row in again)


def test_a_full_disk_is_recognised_in_errors_of_other_libraries():
    from polars.exceptions import ComputeError
    from safetensors import SafetensorError

    inner = OSError(errno.ENOSPC, "No space left on device")
    outer = RuntimeError("could not save")
    outer.__cause__ = inner
    said = "I/O error: No space left on device (os error 28)"
    for error in (inner, outer, SafetensorError(said), ComputeError(said)):
        assert disk_is_full(error)
    assert not disk_is_full(ValueError("file 28"))


def test_a_disk_that_fills_while_writing_leaves_no_record(bench, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    rows = bench()
    assert "disk is full" in rows[0].error
    assert not list(bench.out.rglob("record.json"))
    assert not list(bench.out.glob(".tmp-*"))


def test_a_forced_run_that_fails_keeps_the_old_record(bench, monkeypatch):
    first = bench()[0]
    monkeypatch.setattr("tests.fakes.Fake._fail", lambda self: 1 / 0)
    assert bench(force=True)[0].error
    assert read_record(first.path) == first.record


@pytest.mark.parametrize("fail", ["lightning"])
def test_an_interrupt_that_lightning_turns_into_an_exit_is_an_interrupt(bench, fail):
    with pytest.raises(KeyboardInterrupt):
        bench("alpha", [f"alpha.fail={fail}"])


def test_a_metric_that_is_no_number_is_an_error(bench, monkeypatch):
    monkeypatch.setattr(
        "benchmark.tasks.averages.bootstrap_interval", lambda *args, **kwargs: (0.0, 1.0)
    )
    monkeypatch.setattr(
        "benchmark.metrics.ranking.Recall.per_example", lambda self, ranks: ranks * float("nan")
    )
    assert "recall" in bench()[0].error


def test_unavailable_and_incapable_methods_are_rows(bench):
    rows = bench("broken,alpha")
    assert rows[0].na == "it needs a thing: get it"
    rows = bench("alpha,writer", task="next_item,writing", sets=["writer.epochs=1"])
    by_cell = {(row.task, row.method): row for row in rows}
    assert by_cell["next_item", "writer"].na == "writer cannot rank items"
    assert by_cell["writing", "alpha"].na == "alpha cannot write texts"
    assert by_cell["next_item", "alpha"].record is not None


def test_an_unavailable_data_set_is_the_users_error(bench):
    with pytest.raises(UserError, match="no_such_module"):
        bench(dataset="gone")


def test_an_output_that_is_a_file_is_the_users_error(bench, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--out .*file cannot be written"):
        bench(out=tmp_path / "file")


def test_a_broken_record_is_made_anew(bench):
    path = bench()[0].path
    path.write_text("{")
    assert bench()[0].record is not None
    assert bench.fits() == 2


def test_left_over_temporary_folders_are_no_records_and_go_away(bench):
    path = bench()[0].path
    left = path.parent.with_name(f".tmp-{path.parent.name}-deadbeef")
    path.parent.rename(left)
    with pytest.raises(UserError):
        load_records([bench.out])
    bench()
    assert not left.exists()
    assert len(load_records([bench.out])) == 1


@pytest.mark.parametrize("share", [0, 0.5, 0.9])
def test_a_cell_whose_examples_were_cut_runs_again(bench, share):
    path = bench()[0].path
    examples = path.with_name("examples.parquet")
    content = examples.read_bytes()
    examples.write_bytes(content[: int(share * len(content))])
    bench()
    assert bench.fits() == 2
    assert "runs again" in " ".join(bench.progress.lines)
    assert pl.read_parquet(examples).equals(pl.read_parquet(content))


def test_a_cell_whose_examples_somebody_deleted_stays_as_it_is(bench):
    path = bench()[0].path
    path.with_name("examples.parquet").unlink()
    assert bench()[0].record is not None
    assert bench.fits() == 1


def test_what_was_there_comes_back_after_a_kill_between_two_moves(bench):
    first = bench()[0]
    folder = first.path.parent
    folder.rename(folder.with_name(f".tmp-{folder.name}-abcdefgh-old"))
    assert bench()[0].record == first.record
    assert bench.fits() == 1
    assert not list(bench.out.glob(".tmp-*"))


@pytest.mark.parametrize("size", [0, 1, 300, -2])
def test_a_record_that_was_cut_is_made_anew(bench, size):
    path = bench()[0].path
    path.write_text(path.read_text()[:size])
    assert bench()[0].record is not None
    assert bench.fits() == 2


def test_seconds_of_a_killed_call_are_those_that_its_checkpoints_know(bench, tmp_path):
    record = bench()[0].record
    assert record.fit.wall_seconds < 0.5 == record.fit.seconds  # the fake says so
    for folder in bench.out.glob("world-*"):
        (bench.out / ".unfinished" / folder.name).mkdir(parents=True)
        (folder / "record.json").unlink()
    assert bench()[0].record.fit.wall_seconds == 0.5


def test_other_uses_of_a_record_do_not_name_the_machine(bench):
    import getpass
    import socket

    text = json.dumps(bench()[0].record.model_dump(mode="json")["host"])
    assert socket.gethostname() not in text
    assert getpass.getuser() not in text.lower() or getpass.getuser() in "linux"


def test_threads_follow_the_environment_then_the_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert cores.default_threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert 1 <= cores.default_threads() == cores.physical_cores() <= len(cores.usable_cpus())
    monkeypatch.setenv("OMP_NUM_THREADS", " 4,2")  # OpenMP: 4, and 2 within each
    assert cores.default_threads() == 4


@pytest.mark.parametrize("given", ["abc", "0", "-1", "²", "1.5"])
def test_a_number_of_threads_that_is_none_is_said_before_anything_runs(given, bench, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    with pytest.raises(UserError, match=f"OMP_NUM_THREADS={given} is no number of threads"):
        bench(threads=None)
    assert not bench.fits()


def start_fakes(tmp_path, *arguments):
    return subprocess.Popen(
        [
            sys.executable, "-m", "tests.fakes", "run", "--task", "next_item", "--dataset",
            "world", "--out", str(tmp_path / "out"), "--json", *arguments,
        ],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_an_interrupt_keeps_what_is_finished(tmp_path):
    log = tmp_path / "fits"
    process = start_fakes(
        tmp_path, "--methods", "alpha,beta", "--set", "beta.wait=60", "--set", f"beta.log={log}"
    )
    begun = time.monotonic()
    while not log.exists() and time.monotonic() - begun < 60:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("error: interrupted; finished cells are kept")
    assert [row.method for row in load_records([tmp_path / "out"])] == ["alpha"]


def test_what_came_out_is_kept_where_its_cost_cannot_be_measured(bench, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no room for a batch of 32")

    monkeypatch.setattr("benchmark.runs.cell.answer_cost", fail)
    (row,) = bench("alpha")
    assert row.record is not None
    assert row.record.metrics["recall@10"] > 0
    assert row.record.cost.latency_seconds is None
    assert row.record.cost.training_seconds == 0.5
