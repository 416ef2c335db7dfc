"""The command: a file of answers becomes a cell beside those of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmark.cli import main
from benchmark.data.splits import split_last
from benchmark.records.results import comparison_group, load_records, read_record
from benchmark.tables import Tables
from tests.fakes import make_tables
from tests.judged import judged
from tests.world import small_world

Import = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def tables() -> Tables:
    return make_tables()


@pytest.fixture
def call(
    tmp_path: Path, tables: Tables, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Import:  # fmt: skip
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*map(str, arguments), "--dataset", "world", "--out", "runs"], tables)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def target_hash() -> str:
    return split_last(small_world()).target_hash


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return judged("next_item")[1].examples.select("user", "ranked")


def write(frame: pl.DataFrame, target_hash: str = "", **more: str) -> str:
    metadata = {"target_hash": target_hash, **more} if target_hash else {}
    frame.write_parquet("answers.parquet", metadata=metadata)
    return "answers.parquet"


IMPORT = ("import", "answers.parquet", "--task", "next_item")


def test_an_imported_row_stands_beside_the_methods(call: Import, target_hash: str) -> None:
    assert call("run", "--task", "next_item", "--methods", "alpha", "--threads", 1)[0] == 0
    (path,) = Path("runs").rglob("examples.parquet")
    write(pl.read_parquet(path).select("user", "ranked"), target_hash)
    code, out, _ = call(*IMPORT, "--name", "gru4rec", "--seed", 2, "--json")
    assert code == 0
    (row,) = json.loads(out)["rows"]
    mine, own = sorted(load_records([Path("runs")]), key=lambda row: row.method)[::-1]
    record = mine.record
    assert record is not None
    assert own.record is not None
    assert row["metrics"] == record.metrics == own.record.metrics
    assert record.intervals == own.record.intervals
    assert comparison_group(record) == comparison_group(own.record)
    assert (record.method.name, record.seed, record.preset) == ("gru4rec", 2, "quick")
    assert record.imported is not None
    assert record.imported["file"] == "answers.parquet"
    assert len(record.imported["sha256"]) == 64
    assert record.fit.seconds == record.fit.parameters == 0
    assert "unknown" in record.fit.notes[0]
    assert record.budget["text"] == "unknown: imported"
    assert record.cost.failed
    assert record.cost.training_flops is None
    folders = [path.with_name("examples.parquet") for path in (mine.path, own.path) if path]
    schemas = [pl.read_parquet_schema(path) for path in folders]
    assert schemas[0] == schemas[1]
    assert main(["verify", "runs"]) == 0
    assert main(["plot", "runs"]) == 0
    assert len(list(Path("runs/plots").glob("*-time.png"))) == 1


def test_what_is_not_known_of_an_imported_model_is_not_shown(
    call: Import, frame: pl.DataFrame, target_hash: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(frame, target_hash)
    _, out, _ = call(*IMPORT, "--name", "gru4rec")
    assert "- unknown: imported" in " ".join(out.split())
    assert main(["plot", "runs"]) == 0
    assert {path.stem.rpartition("-")[2] for path in Path("runs/plots").iterdir()} == {"bars"}
    (path,) = Path("runs").rglob("record.json")
    capsys.readouterr()
    assert main(["probe", str(path)]) == 2
    assert "was imported" in capsys.readouterr().err


def test_it_is_imported_once_unless_forced_or_changed(
    call: Import, frame: pl.DataFrame, target_hash: str
) -> None:
    write(frame, target_hash)
    call(*IMPORT, "--name", "a")
    (path,) = Path("runs").glob("*-a-s0-*/record.json")
    before = path.stat().st_mtime_ns
    call(*IMPORT, "--name", "a")
    assert path.stat().st_mtime_ns == before
    call(*IMPORT, "--name", "a", "--force")
    assert path.stat().st_mtime_ns != before
    path.write_text(path.read_text()[:300])
    assert call(*IMPORT, "--name", "a")[0] == 0
    assert read_record(path).method.name == "a"
    write(frame.reverse(), target_hash)
    call(*IMPORT, "--name", "a")
    call(*IMPORT, "--name", "a", "--preset", "full")
    paths = list(Path("runs").glob("*-a-s0-*/record.json"))
    assert len(paths) == 3
    assert {read_record(path).preset for path in paths} == {"quick", "full"}


def test_the_targets_are_checked_wherever_they_are_said(
    call: Import, frame: pl.DataFrame, target_hash: str
) -> None:
    as_column = frame.with_columns(target_hash=pl.lit(target_hash))
    for file, given, code in (
        (frame, [], 2),
        (frame, ["--target-hash", target_hash], 0),
        (frame, ["--target-hash", "0" * 64], 2),
        (as_column, [], 0),
        (as_column, ["--target-hash", "0" * 64], 2),
        (frame.with_columns(target_hash=pl.lit("0" * 64)), [], 2),
    ):
        write(file)
        found, _, err = call(*IMPORT, "--name", "a", *given, "--force")
        assert found == code
        assert code == 0 or (target_hash in err and err.count("\n") == 1)
    write(row_changed(as_column, "target_hash", "else"))
    assert "one value in every row" in call(*IMPORT, "--name", "a")[2]
    write(frame, "1" * 64)
    assert "1" * 64 in call(*IMPORT, "--name", "a")[2]


def row_changed(frame: pl.DataFrame, name: str, value: str) -> pl.DataFrame:
    return frame.with_columns(pl.Series(name, [value, *frame[name][1:].to_list()]))


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"--name": "alpha"}, "a method is called so"),
        ({"--name": "a/b"}, "letters, digits"),
        ({"--name": "..."}, "letters, digits"),
        ({"--task": "next_item,writing"}, "one task"),
        ({"--task": "writing"}, "cannot be imported"),
        ({"--set": "alpha.epochs=3"}, "alpha is not part of this run"),
        ({"--preset": "none"}, "unknown preset"),
        ({"--part": "train"}, "--part"),
        ({"--seed": "-1"}, "--seed"),
        ({"--dataset": "nowhere"}, "unknown data set"),
    ],
)
def test_wrong_options_are_one_line(
    call: Import, frame: pl.DataFrame, target_hash: str, tables: Tables, options: dict[str, str],
    part: str, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write(frame, target_hash)
    given: dict[str, Any] = {"--task": "next_item", "--name": "a", "--dataset": "world", **options}
    words = [word for pair in given.items() for word in pair]
    capsys.readouterr()
    assert main(["import", "answers.parquet", *words], tables) == 2
    err = capsys.readouterr().err
    assert part in err
    assert err.count("\n") == 1


def test_what_is_no_parquet_file_is_one_line(call: Import, frame: pl.DataFrame) -> None:
    Path("answers.parquet").write_text("user,ranked\nu1,i1\n")
    assert "the only format that is taken" in call(*IMPORT, "--name", "a")[2]
    Path("answers.parquet").write_bytes(b"")
    assert call(*IMPORT, "--name", "a")[0] == 2
    Path("answers.parquet").unlink()
    assert "there is no file" in call(*IMPORT, "--name", "a")[2]


def test_columns_that_nobody_reads_are_told(
    call: Import, frame: pl.DataFrame, target_hash: str
) -> None:
    write(frame.with_columns(targetlogprob=pl.lit(-1.0)), target_hash)
    assert "columns that are not read: targetlogprob" in call(*IMPORT, "--name", "a")[1]


def test_settings_of_the_task_hold(call: Import, frame: pl.DataFrame, target_hash: str) -> None:
    write(frame, target_hash)
    code, _, err = call(*IMPORT, "--name", "a", "--set", "next_item.users=20")
    assert code == 2
    assert "not asked: 60 users" in err
    code, _, err = call(*IMPORT, "--name", "a", "--set", "next_item.k=12")
    assert "a list has fewer items than 12" in err


@pytest.mark.parametrize(
    ("metadata", "options", "told"),
    [
        ({}, ["--part", "validation"], "answers part 'test' (its metadata names no part)"),
        ({"part": "validation"}, [], "answers part 'validation', not 'test'"),
        ({"seen": "include"}, [], "answers seen 'include', not 'exclude'"),
        ({"split": "cold_items"}, [], "answers split 'cold_items', not 'last'"),
        ({"task": "favorite_genre"}, [], "answers task 'favorite_genre'"),
    ],
)
def test_answers_to_something_else_are_found_though_the_targets_are_the_same(
    call: Import, frame: pl.DataFrame, target_hash: str,
    metadata: dict[str, str], options: list[str], told: str,
) -> None:  # fmt: skip
    write(frame, target_hash, **metadata)
    code, _, err = call(*IMPORT, "--name", "mine", *options)
    assert code == 2
    assert told in err
