from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmark.cli import main
from benchmark.records.differences import mean_a_user
from benchmark.records.example_files import Stored, read_examples, read_stored, write_examples
from benchmark.records.publishing import place
from benchmark.records.results import load_records
from tests.judged import TASKS, judged, keep

Publish = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def publish(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Publish:
    def call(runs: Path, out: str = "out") -> tuple[int, list[str]]:
        code = main(["publish", str(runs), "--out", str(tmp_path / out)])
        captured = capsys.readouterr()
        return code, (captured.out + captured.err).splitlines()

    return call


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize("kind", TASKS)
def test_what_is_published_still_gives_every_number(
    tmp_path: Path, publish: Publish, kind: str, part: str
) -> None:
    source = keep(tmp_path / "runs" / "a", kind, part)
    assert publish(tmp_path / "runs")[0] == 0
    record, found = judged(kind, part)
    folder = tmp_path / "out" / place(record)
    split = record.protocol.split + ("-validation" if part == "validation" else "")
    assert folder == tmp_path / "out" / record.dataset.name / record.task.name / split / "alpha-s0"
    assert (folder / "record.json").read_bytes() == source.read_bytes()
    assert main(["verify", str(tmp_path / "out")]) == 0
    again = read_examples(folder / "record.json")
    whole = found.examples.with_columns(
        pl.col("user").map_elements(lambda user: hashed(kind, user), pl.String)
    ).sort("user")
    kept = [name for name in whole.columns if name in again.columns]
    assert {name for name in record.metrics if "/" not in name} - {"macro_f1"} <= set(kept)
    for name in set(kept) - {"ranked"}:
        assert again[name].to_list() == whole[name].to_list()


def hashed(kind: str, user: str) -> str:
    record, _ = judged(kind)
    return sha256(f"{record.dataset.fingerprint}\t{user}".encode()).hexdigest()[:16]


def test_nothing_of_others_and_no_order_is_published(tmp_path: Path, publish: Publish) -> None:
    for kind in TASKS:
        keep(tmp_path / "runs" / kind, kind)
    publish(tmp_path / "runs")
    for path in (tmp_path / "out").rglob("examples.parquet"):
        frame = read_stored(path.with_name("record.json")).frame
        assert not {"target", "item", "prompt", "reference", "output"} & set(frame.columns)
        assert not {"recall@1", "recall@10", "mrr@10"} & set(frame.columns)
        assert frame["user"].is_sorted()
        if "ranked" in frame.columns:
            assert frame["ranked"].list.len().max() <= 10
        users = {user for kind in TASKS for user in judged(kind)[1].examples["user"]}
        assert not users & set(frame["user"])
        assert frame.select(pl.col(pl.String)).columns == ["user"]


def test_pairs_still_match_and_values_stay(tmp_path: Path, publish: Publish) -> None:
    keep(tmp_path / "runs" / "a", "next_item", seed=0)
    keep(tmp_path / "runs" / "b", "next_item", seed=1, frame=lambda frame: frame.reverse())
    before = mean_a_user(load_records([tmp_path / "runs"]), "ndcg@10")
    assert publish(tmp_path / "runs")[0] == 0
    after = mean_a_user(load_records([tmp_path / "out"]), "ndcg@10")
    assert before is not None
    assert after is not None
    assert len(after) == len(before)
    assert sorted(after) == sorted(before)


def test_publishing_twice_or_from_what_is_published_changes_nothing(
    tmp_path: Path, publish: Publish
) -> None:
    for kind in TASKS:
        keep(tmp_path / "runs" / kind, kind)
    publish(tmp_path / "runs")
    first = contents(tmp_path / "out")
    assert publish(tmp_path / "runs")[0] == 0
    assert contents(tmp_path / "out") == first
    assert publish(tmp_path / "out", "further")[0] == 0
    assert contents(tmp_path / "further") == first


def test_a_cell_takes_the_place_of_its_older_one(tmp_path: Path, publish: Publish) -> None:
    record, _ = judged("next_item")
    folder = tmp_path / "out" / place(record)
    keep(tmp_path / "runs" / "a", "next_item", created="2026-01-02T00:00:00+00:00")
    newer = keep(tmp_path / "runs" / "b", "next_item", created="2026-01-03T00:00:00+00:00")
    keep(tmp_path / "runs" / "c", "next_item", created="2026-01-01T00:00:00+00:00")
    folder.mkdir(parents=True)
    (folder / "left.png").write_bytes(b"old")
    code, lines = publish(tmp_path / "runs")
    assert code == 0
    assert lines[-1] == "1 published, 2 left out, 0 refused"
    for older in ("a", "c"):
        path = tmp_path / "runs" / older / "record.json"
        assert f"left out: {path}: an older record of the cell that {folder} is for" in lines
    assert {path.name for path in folder.iterdir()} == {"record.json", "examples.parquet"}
    assert (folder / "record.json").read_bytes() == newer.read_bytes()


def test_what_was_asked_otherwise_has_a_place_of_its_own_or_is_refused(
    tmp_path: Path, publish: Publish
) -> None:
    record, _ = judged("next_item")
    task = record.task.model_copy(update={"changes": {"k": 20, "bootstrap_samples": 100}})
    method = record.method.model_copy(update={"changes": {"fusion.every": 2}})
    others = [{"preset": "full"}, {"seed": 1}, {"task": task}, {"method": method}]
    places = [str(place(record.model_copy(update=change))) for change in others]
    assert places == [
        "world/next_item/last-full/alpha-s0",
        "world/next_item/last/alpha-s1",
        "world/next_item-k=20/last/alpha-s0",
        "world/next_item/last/alpha-fusion.every=2-s0",
    ]
    keep(tmp_path / "a", "next_item")
    keep(
        tmp_path / "b", "next_item", protocol=record.protocol.model_copy(update={"seen": "include"})
    )
    assert publish(tmp_path / "a")[0] == 0
    before = contents(tmp_path / "out")
    code, lines = publish(tmp_path / "b")
    assert code == 1
    assert "differs in seen items (include and exclude)" in lines[0]
    assert contents(tmp_path / "out") == before
    dataset = record.dataset.model_copy(update={"fingerprint": "0" * 64})
    keep(tmp_path / "c", "next_item", dataset=dataset)
    code, lines = publish(tmp_path / "c")
    assert code == 1
    assert "differs in data hash" in lines[0]
    assert contents(tmp_path / "out") == before


def test_of_cells_that_want_one_place_one_is_refused_and_none_is_dropped(
    tmp_path: Path, publish: Publish
) -> None:
    record, _ = judged("next_item")
    protocol = record.protocol.model_copy(update={"seen": "include"})
    keep(tmp_path / "runs/a", "next_item")
    keep(tmp_path / "runs/b", "next_item", protocol=protocol)
    code, lines = publish(tmp_path / "runs")
    assert code == 1
    assert lines[-1] == "1 published, 1 refused"
    assert "its place is that of" in lines[0]


def test_own_data_is_published_only_where_somebody_says_so(
    tmp_path: Path, publish: Publish, capsys: pytest.CaptureFixture[str]
) -> None:
    record, _ = judged("next_item")
    dataset = record.dataset.model_copy(update={"name": "own/shop"})
    keep(tmp_path / "runs/a", "next_item", dataset=dataset)
    code, lines = publish(tmp_path / "runs")
    assert code == 1
    assert "--allow-own" in lines[0]
    out = str(tmp_path / "out")
    assert main(["publish", str(tmp_path / "runs"), "--out", out, "--allow-own"]) == 0


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"git": {"commit": "c", "dirty": True}}, "git.dirty"),
        ({"host": {"folder": "/srv/data"}}, "'/srv/data'"),
        ({"host": {"folder": "~/data"}}, "'~/data'"),
        ({"host": {"folder": "C:\\data"}}, "absolute path"),
        ({"examples": 3}, "differs: examples is 3"),
        ({"frame": lambda frame: frame[1:]}, "differs"),
    ],
)
def test_what_must_not_be_published_is_refused_and_the_rest_goes_on(
    tmp_path: Path, publish: Publish, changes: dict[str, Any], part: str
) -> None:
    keep(tmp_path / "runs" / "a", "next_item", seed=1, **changes)
    keep(tmp_path / "runs" / "b", "favorite_genre")
    (tmp_path / "runs" / "c").mkdir()
    (tmp_path / "runs" / "c" / "record.json").write_text('{"schema_version": 4, "se')
    code, lines = publish(tmp_path / "runs")
    assert code == 1
    assert lines[-1] == "1 published, 2 refused"
    refused = [line for line in lines if line.startswith("refused: ")]
    assert len(refused) == 2
    assert part in next(line for line in refused if "/a/" in line)
    assert [path.parts[-4] for path in (tmp_path / "out").rglob("record.json")] == [
        "favorite_genre"
    ]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("run --out=/srv/a/x", "run --out=x"),
        ("run --out /srv/a --config /srv/a/b.yaml", "run --out a --config b.yaml"),
        ("run --config 'a b' --out ~/x", "run --config 'a b' --out x"),
        ("run --llm 'C:\\models\\m'", "run --llm 'm'"),
        ("run --out /", "run --out ."),
    ],
)
def test_a_command_keeps_of_folders_of_the_machine_the_last_part(
    tmp_path: Path, publish: Publish, command: str, told: str
) -> None:
    keep(tmp_path / "runs", "next_item", command=command)
    assert publish(tmp_path / "runs")[0] == 0
    (path,) = (tmp_path / "out").rglob("record.json")
    (before,) = (tmp_path / "runs").rglob("record.json")
    assert json.loads(path.read_text()) == {**json.loads(before.read_text()), "command": told}


def test_nothing_is_left_of_what_was_refused(tmp_path: Path, publish: Publish) -> None:
    keep(tmp_path / "runs", "next_item", git={"commit": "c", "dirty": True})
    assert publish(tmp_path / "runs")[0] == 1
    assert not any((tmp_path / "out").iterdir())


def test_a_relative_path_is_no_reason_to_refuse(tmp_path: Path, publish: Publish) -> None:
    command = "userllm-bench run --config configs/a.yaml --out ../runs --dataset own/shop"
    keep(tmp_path / "runs", "next_item", command=command)
    assert publish(tmp_path / "runs")[0] == 0


def test_missing_examples_and_no_record_are_told(tmp_path: Path, publish: Publish) -> None:
    path = keep(tmp_path / "runs", "next_item")
    path.with_name("examples.parquet").unlink()
    code, lines = publish(tmp_path / "runs")
    assert code == 1
    assert "no examples" in lines[0]
    (tmp_path / "empty").mkdir()
    assert publish(tmp_path / "empty")[0] == 2


def test_an_interrupt_leaves_the_old_cell(
    tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(tmp_path / "runs", "next_item")
    publish(tmp_path / "runs")
    before = contents(tmp_path / "out")

    def cut(folder: Path, stored: Stored) -> None:
        write_examples(folder, stored)
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark.records.publishing.write_examples", cut)
    assert publish(tmp_path / "runs")[0] == 130
    assert contents(tmp_path / "out") == before
