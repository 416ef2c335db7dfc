"""What is handed to models that are run elsewhere: enough to answer, and no test target."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from benchmark.cli import main
from benchmark.data.dataset import Dataset, fingerprint
from benchmark.data.splits import split_cold_items, split_last
from benchmark.data.splits_config import ColdItemsSettings
from benchmark.records.exporting import export
from benchmark.registry import load
from benchmark.schema import TEXT
from benchmark.tables import default_tables
from benchmark.texts import Texts
from tests.judged import TASKS, judged
from tests.world import randomise_tests

TABLES = default_tables()
FILES = ("train", "items", "validation", "questions")


def write(kind: str, folder: Path, part: str = "test", world: Dataset | None = None) -> Any:
    """Exports a task of a world; returns how the world was divided."""
    task, own, split, _ = TASKS[kind]()
    if world is not None:
        cold = kind == "groups"
        split = (
            split_cold_items(world, task.need, ColdItemsSettings())
            if cold
            else split_last(world, task.need)
        )
    shared: Any = SimpleNamespace(
        dataset=world or own, splits={task.name: split}, tasks={task.name: task},
        split_name="last", part=part, seen="exclude",
    )  # fmt: skip
    export(shared, task.name, TABLES, folder)
    return split


def read(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / f"{name}.parquet")


def other_tests(kind: str) -> Dataset:
    """The world of a task with other test targets."""
    world = TASKS[kind]()[1]
    if kind != "review_generation":
        return randomise_tests(world)
    # Item and rating are told there; what is to be found is the text.
    log, last = world.events, set((world.events.indptr[1:] - 1).tolist())
    texts = Texts.of(
        f"secret {n}" if n in last else text for n, text in enumerate(log.written[TEXT])
    )
    events = replace(log, written={**log.written, TEXT: texts})
    printed = fingerprint(world.catalog, events, world.users.external_ids)
    return replace(world, events=events, fingerprint=printed)


@pytest.mark.parametrize("kind", ["next_item", "favorite_genre", "review_generation"])
def test_no_test_target_can_be_read_from_it(tmp_path: Path, kind: str) -> None:
    other = other_tests(kind)
    splits = [write(kind, tmp_path / "a"), write(kind, tmp_path / "b", world=other)]
    task, own, _, _ = TASKS[kind]()
    worlds = [own, other]
    ask: Any = load(TABLES.tasks[task.name].answers)
    targets = [
        next(iter(ask.ask(task, split, world, "test").targets.values()))
        for split, world in zip(splits, worlds, strict=True)
    ]
    assert (targets[0] != targets[1]).mean() > 0.2
    for name in FILES:
        one, two = ((tmp_path / where / f"{name}.parquet").read_bytes() for where in "ab")
        # Hashes of what was changed are all that may differ.
        for ours, theirs in (
            [split.target_hash for split in splits],
            [world.fingerprint for world in worlds],
        ):
            one = one.replace(ours.encode(), theirs.encode())
        assert one == two, name


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize("kind", TASKS)
def test_questions_are_those_that_methods_are_asked(tmp_path: Path, kind: str, part: str) -> None:
    split = write(kind, tmp_path, part)
    _, world, _, _ = TASKS[kind]()
    record, found = judged(kind, part)
    questions = read(tmp_path, "questions")
    assert questions["user"].to_list() == found.examples["user"].to_list()
    assert not {"target", "right", "reference"} & set(questions.columns)
    items, examples = world.catalog.items.external_ids, getattr(split, part)
    for name, user in enumerate(questions["user"]):
        (row,) = np.flatnonzero(examples.users == world.users.to_internal(user))
        own = slice(int(examples.starts[row]), int(examples.stops[row]))
        window = 50 if kind == "favorite_genre" else 10_000
        wanted = [items[item - 1] for item in examples.log.items[own][-window:]]
        assert questions["history_item"][name].to_list() == wanted
        times = examples.log.timestamps[own][-window:]
        assert questions["history_timestamp"][name].to_list() == times.tolist()
    facts = pl.read_parquet_metadata(tmp_path / "questions.parquet")
    assert facts["target_hash"] == record.dataset.target_hash
    assert facts["fingerprint"] == world.fingerprint
    assert (facts["task"], facts["part"], facts["seen"]) == (record.task.name, part, "exclude")
    assert (tmp_path / "validation.parquet").exists() == (part == "test")
    if kind == "favorite_genre":
        assert tuple(json.loads(facts["labels"])) == found.labels
        assert facts["candidates"] == str(len(found.labels))
    if kind == "review_generation":
        assert questions.select("item", "prompt").equals(found.examples.select("item", "prompt"))


@pytest.mark.parametrize("kind", TASKS)
def test_validation_has_its_targets_and_training_all_that_methods_learn_from(
    tmp_path: Path, kind: str
) -> None:
    split = write(kind, tmp_path)
    target = {"favorite_genre": "right", "review_generation": "reference"}.get(kind, "target")
    own = judged(kind, "validation")[1].examples
    assert read(tmp_path, "validation").select("user", target).equals(own.select("user", target))
    train, log = read(tmp_path, "train"), split.train.events
    world = TASKS[kind]()[1]
    assert train.columns[:3] == ["user", "item", "timestamp"]
    assert len(train) == log.num_events
    assert train["user"].unique(maintain_order=True).to_list() == [
        name for name, count in zip(world.users.external_ids, log.lengths, strict=True) if count
    ]
    assert train["rating"].to_list() == [str(value) for value in log.columns["rating"]]
    catalogue = read(tmp_path, "items")
    assert catalogue["item"].to_list() == list(world.catalog.items.external_ids)
    assert catalogue["text"].to_list() == list(world.catalog.texts[1:])
    assert catalogue["genres"].dtype == pl.List(pl.String)


Call = Callable[..., str]


@pytest.fixture
def call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Call:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert main(list(arguments)) == 0
        return capsys.readouterr().out

    return run


def test_popularity_made_elsewhere_has_the_numbers_of_popularity_made_here(call: Call) -> None:
    same = ("--task", "next_item", "--preset", "smoke")
    ran = call("run", *same, "--dataset", "synthetic", "--methods", "popularity", "--json")
    call("data", "export", "synthetic", *same, "--out", "shared")
    train, catalogue = (pl.read_parquet(f"shared/{name}.parquet") for name in ("train", "items"))
    counts = train.group_by("item").len()
    ranking = (
        catalogue.select("item")
        .with_row_index("place")
        .join(counts, on="item", how="left")
        .sort(pl.col("len").fill_null(0), -pl.col("place").cast(pl.Int64), descending=True)
    )["item"].to_list()
    questions = pl.read_parquet("shared/questions.parquet")
    facts = pl.read_parquet_metadata("shared/questions.parquet")
    seen = questions["history_item"].to_list() if facts["seen"] == "exclude" else [[]] * 1000
    lists = [
        [item for item in ranking if item not in set(own)][: int(facts["k"])]
        for own, _ in zip(seen, questions["user"], strict=False)
    ]
    pl.DataFrame({"user": questions["user"], "ranked": lists}).write_parquet(
        "answers.parquet", metadata={"target_hash": facts["target_hash"]}
    )
    same = (*same, "--dataset", "synthetic")
    imported = call("import", "answers.parquet", "--name", "counted", *same, "--json")
    (ours,), (theirs,) = (json.loads(text)["rows"] for text in (ran, imported))
    for key in ("metrics", "intervals", "target_hash", "dataset_hash", "seen", "preset"):
        assert ours[key] == theirs[key]


def test_exporting_again_leaves_the_same_files_and_others_alone(call: Call) -> None:
    told = call("data", "export", "synthetic", "--task", "favorite_genre", "--out", "shared")
    assert "shared/questions.parquet" in told
    before = {path.name: path.read_bytes() for path in Path("shared").iterdir()}
    Path("shared/notes.txt").write_text("mine")
    call("data", "export", "synthetic", "--task", "favorite_genre", "--out", "shared")
    after = {path.name: path.read_bytes() for path in Path("shared").iterdir()}
    assert after == {**before, "notes.txt": b"mine"}
    part = ("--part", "validation")
    call("data", "export", "synthetic", "--task", "favorite_genre", "--out", "shared", *part)
    assert not Path("shared/validation.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["nowhere", "--task", "next_item", "--out", "x"], "unknown data set"),
        (["synthetic", "--task", "next", "--out", "x"], "did you mean 'next_item'"),
        (["synthetic", "--task", "next_item", "--out", "file"], "--out file cannot be written"),
        (["ml-100k", "--task", "review_generation", "--out", "x"], "review_generation"),
        (["synthetic", "--task", "next_item,favorite_genre", "--out", "x"], "of one task"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], part: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    assert main(["data", "export", *arguments]) == 2
    err = capsys.readouterr().err
    assert part in err
    assert err.count("\n") == 1
