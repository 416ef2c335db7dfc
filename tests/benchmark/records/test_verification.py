"""Every kind of tampering with a record or its examples is found."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmark.cli import main
from benchmark.records.example_files import Stored, compact, write_examples
from benchmark.records.results import SCHEMA_VERSION
from benchmark.records.verification import DIFFERS, NO_EXAMPLES, OK, UNCHECKED, Verdict, check
from benchmark.tables import default_tables
from tests.judged import TASKS, judged, keep

TABLES = default_tables()


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize("kind", TASKS)
def test_an_untouched_record_is_right_in_every_number(tmp_path: Path, kind: str, part: str) -> None:
    path = keep(tmp_path, kind, part)
    verdict = check(path, TABLES)
    assert verdict.problems == ()
    assert verdict.status == OK
    record, _ = judged(kind, part)
    assert verdict.numbers == len(record.metrics) + len(record.intervals)
    assert bool(verdict.notes) == (kind == "favorite_genre" and part == "validation")


def test_groups_are_recomputed_too(tmp_path: Path) -> None:
    record, _ = judged("groups")
    grouped = [name for name in record.metrics if "/" in name]
    assert {"recall@10/cold", "recall@10/warm"} <= set(grouped)
    metrics = {**record.metrics, "recall@10/cold": record.metrics["recall@10/cold"] + 0.01}
    verdict = check(keep(tmp_path, "groups", metrics=metrics), TABLES)
    assert [problem.split(" ")[0] for problem in verdict.problems] == ["recall@10/cold"]


@pytest.mark.parametrize("kind", TASKS)
def test_each_number_that_is_changed_dropped_or_added_is_named(tmp_path: Path, kind: str) -> None:
    record, _ = judged(kind)
    for nth, (name, value) in enumerate(record.metrics.items()):
        changed = check(
            keep(tmp_path / f"a{nth}", kind, metrics={**record.metrics, name: value + 1e-6}), TABLES
        )
        assert changed.status == DIFFERS
        assert changed.problems[0].startswith(f"{name} is {value + 1e-6:.10g}, recomputed")
    for nth, (name, (low, high)) in enumerate(record.intervals.items()):
        moved = {**record.intervals, name: (low, high + 1e-6)}
        wider = check(keep(tmp_path / f"b{nth}", kind, intervals=moved), TABLES)
        assert len(wider.problems) == 1
        assert wider.problems[0].startswith(f"interval of {name} is")
    name = next(iter(record.metrics))
    lost = {own: value for own, value in record.metrics.items() if own != name}
    assert "is missing" in check(keep(tmp_path / "c", kind, metrics=lost), TABLES).problems[0]
    more = {**record.metrics, "accuracy": 1.0}
    assert "nothing gives it" in check(keep(tmp_path / "d", kind, metrics=more), TABLES).problems[0]


def test_another_seed_of_resampling_gives_another_interval(tmp_path: Path) -> None:
    record, _ = judged("next_item")
    settings = {**record.task.settings, "bootstrap_seed": 4}
    task = record.task.model_copy(update={"settings": settings})
    verdict = check(keep(tmp_path, "next_item", task=task), TABLES)
    assert verdict.problems
    assert all(problem.startswith("interval of") for problem in verdict.problems)


def at(row: int, name: str, value: Any) -> pl.Expr:
    changed = pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value)).otherwise(pl.col(name))
    return changed.alias(name)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("next_item", "recall@10", 0.5),
        ("next_item", "ndcg@10", float("nan")),
        ("next_item", "target_rank", 40),
        ("next_item", "target", "i999"),
        ("next_item", "ranked", ["x"] * 10),
        ("favorite_genre", "recall@1", 0.5),
        ("favorite_genre", "right", ["Comedy", "Horror", "War"]),
        ("favorite_genre", "tied", None),
        ("review_generation", "rouge1", None),
        ("review_generation", "output", "another text"),
        ("review_generation", "reference", "another text"),
    ],
)
def test_a_changed_value_of_one_user_is_found(
    tmp_path: Path, kind: str, name: str, value: Any
) -> None:
    _, found = judged(kind)
    column = found.examples[name]
    row = [n for n, own in enumerate(column.to_list()) if own != value][3]
    literal = value if not isinstance(value, list) else pl.Series([value])
    path = keep(tmp_path, kind, frame=lambda frame: frame.with_columns(at(row, name, literal)))
    verdict = check(path, TABLES)
    assert verdict.status in (DIFFERS, UNCHECKED)
    assert verdict.problems


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("next_item", "target_rank", None),
        ("next_item", "target_rank", 0),
        ("next_item", "target_rank", 41),
        ("groups", "cold", None),
        ("favorite_genre", "ranked", ["War"] * 8),
        ("favorite_genre", "right", []),
        ("review_generation", "rougeL", 0.9),
        ("review_generation", "rouge2", float("nan")),
        ("review_generation", "user", None),
    ],
)
def test_a_changed_value_of_the_compact_form_is_found(
    tmp_path: Path, kind: str, name: str, value: Any
) -> None:
    _, found = judged(kind)
    stored = compact(Stored(found.examples, found.labels), "f")
    path = keep(tmp_path, kind)
    write_examples(tmp_path, stored)
    assert check(path, TABLES).status == OK
    values = stored.frame[name].to_list()
    # Of the ranks one that counts: those beyond the cut-offs say nothing that is published.
    row = 3 if name != "target_rank" else next(n for n, own in enumerate(values) if own == 1)
    values[row] = value
    changed = stored.frame.with_columns(pl.Series(name, values, dtype=stored.frame[name].dtype))
    write_examples(tmp_path, replace(stored, frame=changed))
    assert check(path, TABLES).status in (DIFFERS, UNCHECKED)


@pytest.mark.parametrize("kind", TASKS)
def test_a_dropped_or_doubled_row_is_found(tmp_path: Path, kind: str) -> None:
    dropped = check(keep(tmp_path / "a", kind, frame=lambda frame: frame[1:]), TABLES)
    assert dropped.status == DIFFERS
    assert dropped.problems[0].startswith("examples is")
    path = keep(tmp_path / "b", kind, frame=lambda frame: pl.concat([frame[1:], frame[1:2]]))
    doubled = check(path, TABLES)
    assert doubled.status == UNCHECKED
    assert "one example a user" in doubled.problems[0]


def test_swapped_files_are_found(tmp_path: Path) -> None:
    paths = {kind: keep(tmp_path / kind, kind) for kind in TASKS}
    files = {kind: path.with_name("examples.parquet").read_bytes() for kind, path in paths.items()}
    for kind, path in paths.items():
        for other in set(TASKS) - {kind}:
            path.with_name("examples.parquet").write_bytes(files[other])
            assert check(path, TABLES).status != OK


def damage(path: Path, how: str) -> None:
    values = json.loads(path.read_text())
    file = path.with_name("examples.parquet")
    if how == "half a record":
        path.write_text(path.read_text()[:500])
    elif how == "newer":
        path.write_text(json.dumps(values | {"schema_version": SCHEMA_VERSION + 1}))
    elif how == "other task":
        path.write_text(json.dumps(values | {"task": {**values["task"], "name": "no_task"}}))
    elif how == "other version":
        path.write_text(json.dumps(values | {"task": {**values["task"], "version": "0"}}))
    elif how == "other settings":
        settings = {**values["task"]["settings"], "surprise": 1}
        path.write_text(json.dumps(values | {"task": {**values["task"], "settings": settings}}))
    elif how == "half a file":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    else:
        file.unlink()


@pytest.mark.parametrize(
    ("how", "part"),
    [
        ("half a record", "broken"),
        ("newer", "newer version"),
        ("other task", "'no_task'"),
        ("other version", "version '0'"),
        ("other settings", "surprise"),
        ("half a file", "cannot be read"),
        ("no file", "no examples"),
    ],
)
def test_what_cannot_be_checked_is_one_line_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str, part: str
) -> None:
    damage(keep(tmp_path / "a", "next_item"), how)
    keep(tmp_path / "b", "next_item")
    assert main(["verify", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert part in lines[0]
    assert lines[0].count(str(tmp_path / "a" / "record.json")) == 1
    assert lines[1].startswith(f"ok: {tmp_path / 'b'}")
    assert lines[2].startswith("2 records: ")


def test_records_of_an_older_schema_stand_beside_newer_ones(tmp_path: Path) -> None:
    path = keep(tmp_path, "next_item")
    values = json.loads(path.read_text()) | {"schema_version": SCHEMA_VERSION - 1}
    path.write_text(json.dumps({name: v for name, v in values.items() if name != "imported"}))
    assert check(path, TABLES).status == OK


def test_missing_examples_can_be_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = keep(tmp_path, "next_item")
    path.with_name("examples.parquet").unlink()
    assert check(path, TABLES).status == NO_EXAMPLES
    assert main(["verify", str(tmp_path)]) == 1
    assert main(["verify", str(tmp_path), "--allow-missing"]) == 0
    capsys.readouterr()
    assert main(["verify", str(tmp_path), "--json"]) == 1
    (told,) = json.loads(capsys.readouterr().out)["records"]
    assert told["status"] == NO_EXAMPLES
    assert told["record"] == str(path)
    assert main(["verify", str(tmp_path / "nowhere")]) == 2


def test_verifying_imports_no_torch(tmp_path: Path) -> None:
    for kind in TASKS:
        keep(tmp_path / kind, kind)
    code = (
        "import sys; from benchmark.cli import main; code = main(sys.argv[1:]);"
        "print(code, *sorted(m for m in sys.modules if '.' not in m), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "verify", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    code, *modules = done.stderr.split()
    assert code == "0", done.stdout
    assert not {"torch", "lightning", "transformers"} & set(modules)


def test_a_record_cannot_ask_for_a_resampling_without_end(tmp_path: Path) -> None:
    path = keep(tmp_path, "next_item")
    record = json.loads(path.read_text())
    record["task"]["settings"]["bootstrap_samples"] = 10**9
    path.write_text(json.dumps(record))
    verdict = check(path, TABLES)
    assert verdict.status == UNCHECKED
    assert "bootstrap_samples" in verdict.problems[0]


def test_one_user_is_counted_as_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts = [Verdict(Path("a"), OK, users=1, numbers=1), Verdict(Path("b"), OK, users=1200)]
    monkeypatch.setattr("benchmark.commands.verify.verify", lambda *_: verdicts)
    assert main(["verify", "runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["ok: a: 1 number of 1 user", "ok: b: 0 numbers of 1,200 users"]
