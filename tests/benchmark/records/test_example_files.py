from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from benchmark.errors import UserError
from benchmark.records.example_files import (
    Stored,
    compact,
    read_by_hash,
    read_examples,
    read_stored,
    restored,
    write_examples,
)
from tests.judged import TASKS, judged, keep

RANKED = ("recall@1", "recall@5", "recall@10", "ndcg@10", "mrr@10")


@pytest.mark.parametrize("kind", TASKS)
def test_examples_read_back_as_they_were_written(tmp_path: Path, kind: str) -> None:
    path = keep(tmp_path, kind)
    _, found = judged(kind)
    stored = read_stored(path)
    assert stored.frame.equals(found.examples)
    assert stored.labels == found.labels
    assert read_examples(path).equals(found.examples)


@pytest.mark.parametrize("kind", ["next_item", "favorite_genre"])
def test_what_is_left_out_is_restored_to_the_last_bit(kind: str) -> None:
    whole = judged(kind)[1].examples
    names = [name for name in RANKED if name in whole.columns]
    again = restored(whole.drop(names))
    assert set(again.columns) == set(whole.columns)
    for name in names:
        assert again[name].to_list() == whole[name].to_list()


def test_a_missed_target_is_restored_as_missed() -> None:
    frame = pl.DataFrame({"user": ["a", "b", "c"], "target_rank": [1, 11, None]})
    assert restored(frame)["recall@10"].to_list() == [1.0, 0.0, 0.0]
    assert restored(frame)["mrr@10"].to_list() == [1.0, 0.0, 0.0]


def test_a_frame_that_has_some_of_its_metrics_stays_as_it_is() -> None:
    frame = pl.DataFrame({"user": ["a"], "target_rank": [1], "recall@1": [0.0]})
    assert restored(frame).equals(frame)


def test_users_of_a_run_are_called_as_in_what_is_published(tmp_path: Path) -> None:
    path = keep(tmp_path, "next_item")
    of_run = read_by_hash(path, "f").sort("user")
    write_examples(tmp_path, compact(read_stored(path), "f"))
    assert read_by_hash(path, "f")["user"].to_list() == of_run["user"].to_list()
    assert read_by_hash(path, "f")["recall@10"].to_list() == of_run["recall@10"].to_list()


@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "no user", "twice", "text", "below"])
def test_what_cannot_be_read_is_one_line_that_names_the_file(tmp_path: Path, damage: str) -> None:
    path = keep(tmp_path, "next_item")
    file = tmp_path / "examples.parquet"
    frame = pl.read_parquet(file)
    if damage == "gone":
        file.unlink()
    elif damage == "no user":
        write_examples(tmp_path, Stored(frame.drop("user")))
    elif damage == "twice":
        write_examples(tmp_path, Stored(pl.concat([frame, frame[:1]])))
    elif damage in ("text", "below"):
        rank = pl.col("target_rank").cast(pl.String) if damage == "text" else pl.lit(-1)
        write_examples(tmp_path, Stored(frame.with_columns(target_rank=rank)))
    else:
        file.write_bytes(file.read_bytes()[: 1000 if damage == "cut" else 0])
    with pytest.raises(UserError) as caught:
        read_examples(path)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
