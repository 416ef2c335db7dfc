"""Answers from a file are judged as those of a method, or refused with one line that says why."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from benchmark.errors import UserError
from benchmark.registrations import TASKS as ENTRIES
from benchmark.registry import load
from tests.judged import TASKS, judged

READ = {
    "next_item": ["user", "ranked", "target_logprob"],
    "groups": ["user", "ranked"],
    "favorite_genre": ["user", "ranked"],
    "review_generation": ["user", "output"],
}


def judge(kind: str, frame: pl.DataFrame, seen: str = "exclude", part: str = "test") -> Any:
    task, world, split, _ = TASKS[kind]()
    own: Any = load(ENTRIES[task.name].answers)
    return own.judge(task, frame, split, world, seen, part)


def answers(kind: str, part: str = "test") -> pl.DataFrame:
    """What a method of our own answered, as somebody else would hand it in."""
    frame = judged(kind, part)[1].examples
    return frame.select(name for name in READ[kind] if not frame[name].null_count())


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize("kind", TASKS)
def test_the_same_answers_have_the_same_numbers_in_any_order(kind: str, part: str) -> None:
    found = judged(kind, part)[1]
    shuffled = answers(kind, part).sample(fraction=1, shuffle=True, seed=1)
    again = judge(kind, shuffled, part=part)
    assert again.metrics == found.metrics
    assert again.intervals == found.intervals
    assert again.labels == found.labels
    assert again.examples.schema == found.examples.schema
    others = set(found.examples.columns) - {"target_rank"}  # lists end before some targets
    assert again.examples.select(others).equals(found.examples.select(others))


def test_numbers_in_the_file_are_not_believed() -> None:
    kind = "next_item"
    claimed = answers(kind).with_columns(pl.lit(1.0).alias("recall@10"), target_rank=1)
    assert judge(kind, claimed).metrics == judged(kind)[1].metrics


def test_the_rank_of_a_target_is_its_place_in_the_list_or_null() -> None:
    target = judged("next_item")[1].examples["target"]
    _, world, split, _ = TASKS["next_item"]()
    rows = []
    for n, own in enumerate(target):
        seen = split.test.log.items[split.test.starts[n] : split.test.stops[n]]
        ids = world.catalog.items.external_ids
        left = [i for i in ids if i != own and world.catalog.items.to_internal(i) not in set(seen)]
        rows.append([*left[:14], own] if n % 2 else left[:10])
    frame = pl.DataFrame({"user": judged("next_item")[1].examples["user"], "ranked": rows})
    found = judge("next_item", frame).examples
    assert found["target_rank"].to_list() == [15 if n % 2 else None for n in range(len(rows))]
    assert found["ranked"].list.len().unique().to_list() == [10]
    assert found["recall@10"].sum() == 0
    assert found["target_logprob"].null_count() == len(found)


def test_whole_numbers_and_categories_are_ids_too() -> None:
    frame = answers("next_item")
    cast = frame.with_columns(pl.col("ranked").cast(pl.List(pl.Categorical)))
    assert judge("next_item", cast).metrics == judged("next_item")[1].metrics
    with pytest.raises(UserError, match="not asked: 80 users, first '0'"):
        judge("next_item", frame.with_columns(user=pl.int_range(pl.len())))


def row(frame: pl.DataFrame, name: str, value: Any, at: int = 3) -> pl.DataFrame:
    values = frame[name].to_list()
    values[at] = value
    return frame.with_columns(pl.Series(name, values, dtype=frame[name].dtype))


def second(frame: pl.DataFrame, name: str, change: Any) -> pl.DataFrame:
    return row(frame, name, change(frame[name][3].to_list()))


COMMON = {
    "a user missing": (lambda f: f[1:], "asked, but without a row: 1 user, first"),
    "a user twice": (lambda f: pl.concat([f, f[2:3]]), "more than one row: 1 user, first"),
    "a stranger": (lambda f: row(f, "user", "nobody"), "not asked: 1 user, first 'nobody'"),
    "a null user": (lambda f: row(f, "user", None), "column 'user' holds null"),
    "users as floats": (
        lambda f: f.with_columns(user=pl.int_range(pl.len()).cast(pl.Float64)),
        "column 'user' holds Float64: text is needed",
    ),
    "no column user": (lambda f: f.drop("user"), "lack the column 'user'"),
    "no answers": (lambda f: f.select("user"), "lack the column"),
    "nobody": (lambda f: f[:0], "asked, but without a row"),
}
LISTS = {
    "a null list": (lambda f: row(f, "ranked", None), "column 'ranked' holds null: 1 user"),
    "a null in a list": (
        lambda f: second(f, "ranked", lambda own: [*own[:4], None]),
        "a list of column 'ranked' holds null: 1 user",
    ),
    "a stranger in a list": (
        lambda f: second(f, "ranked", lambda own: ["x9", *own, "x9"]),
        r"2 in lists, first 'x9' of user '",
    ),
    "one twice": (
        lambda f: second(f, "ranked", lambda own: [own[4], *own]),
        "is ranked twice: 1 user, first",
    ),
    "a short list": (lambda f: second(f, "ranked", lambda own: own[:4]), "a list has fewer"),
    "an empty list": (lambda f: row(f, "ranked", []), "a list has fewer"),
    "text for a list": (
        lambda f: f.with_columns(ranked=pl.lit("a,b")), "holds String: lists of text are needed"
    ),
    "floats in lists": (
        lambda f: f.with_columns(ranked=pl.lit([1.0])), "holds List.Float64.: lists of text"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", [*COMMON, *LISTS])
@pytest.mark.parametrize("kind", ["next_item", "favorite_genre"])
def test_wrong_lists_are_refused_with_the_first_offender(kind: str, case: str) -> None:
    change, message = {**COMMON, **LISTS}[case]
    with pytest.raises(UserError, match=message) as caught:
        judge(kind, change(answers(kind)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", COMMON)
def test_wrong_texts_are_refused(case: str) -> None:
    change, message = COMMON[case]
    with pytest.raises(UserError, match=message):
        judge("review_generation", change(answers("review_generation")))
    with pytest.raises(UserError, match="column 'output' holds null: 1 user, first"):
        judge("review_generation", row(answers("review_generation"), "output", None))


def test_a_seen_item_is_refused_only_where_seen_items_are_taken_out() -> None:
    _, world, split, _ = TASKS["next_item"]()
    first = world.catalog.items.to_external(int(split.test.log.items[split.test.starts[3]]))
    frame = second(answers("next_item"), "ranked", lambda own: [first, *own])
    with pytest.raises(UserError, match=r"the user has seen.*: 1 user, first"):
        judge("next_item", frame)
    assert len(judge("next_item", frame, seen="include").examples) == len(frame)


def test_a_list_may_be_short_where_there_are_no_more_candidates() -> None:
    world = TASKS["next_item"]()[1]
    users = answers("next_item")["user"]
    everything = list(world.catalog.items.external_ids)
    whole = pl.DataFrame({"user": users, "ranked": [everything] * len(users)})
    found = judge("next_item", whole, seen="include")
    assert found.examples["target_rank"].null_count() == 0
    assert found.examples["candidates"].unique().to_list() == [len(everything)]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.01, "above 0: 1 user, first"),
        (float("nan"), "no finite number: 1 user"),
        (float("-inf"), "no finite number"),
        (None, "holds null"),
    ],
)
def test_what_is_no_log_probability_is_refused(value: float | None, message: str) -> None:
    frame = answers("next_item").with_columns(target_logprob=pl.lit(-2.5))
    found = judge("next_item", frame).examples
    assert found["target_logprob"].unique().to_list() == [-2.5]
    assert found["first_logprob"].null_count() == len(found)
    with pytest.raises(UserError, match=message):
        judge("next_item", row(frame, "target_logprob", value))
    with pytest.raises(UserError, match="holds Int64: floating-point nats"):
        judge("next_item", frame.with_columns(target_logprob=pl.lit(-2, dtype=pl.Int64)))


def test_labels_may_be_all_or_five_and_are_cut_alike() -> None:
    frame = answers("favorite_genre")
    some = second(frame, "ranked", lambda own: own[:5])
    found = judge("favorite_genre", some)
    assert found.metrics == judged("favorite_genre")[1].metrics
    assert found.examples["ranked"].list.len().unique().to_list() == [5]


def test_texts_end_after_as_many_words_as_anybodys() -> None:
    users = answers("review_generation")["user"]
    long = pl.DataFrame({"user": users, "output": [" word" * 90] * len(users)})
    texts = judge("review_generation", long).examples["output"]
    assert np.unique(texts.str.count_matches("word")).tolist() == [40]


def test_log_probabilities_that_contradict_each_other_are_refused():
    """One list of all candidates: its first is no likelier than all of them together."""
    frame = answers("next_item")
    parts = {"first_logprob": -1.0, "candidates_logprob": -0.5}
    fine = frame.with_columns(**{name: pl.lit(value) for name, value in parts.items()})
    fine = fine.with_columns(target_logprob=pl.col("first_logprob"))
    judge("next_item", fine)
    for name, value, told in (
        ("candidates_logprob", -2.0, "first_logprob is above candidates_logprob"),
        ("first_logprob", -0.4, "first_logprob is above candidates_logprob"),
    ):
        with pytest.raises(UserError, match=told):
            judge("next_item", row(fine, name, value))
    with pytest.raises(UserError, match=r"target_logprob is (above|not)"):
        judge("next_item", fine.with_columns(target_logprob=pl.lit(-0.1)))
