from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from benchmark.errors import RunError, UserError
from benchmark.metrics.classification import macro_f1
from benchmark.schema import Feature, FeatureKind, FeatureSchema
from benchmark.tasks.label_answers import ranked
from benchmark.tasks.label_counts import drawn_places, query_of
from tests.label_world import divide, make_task, taste_world

C = 6


@pytest.fixture(scope="module")
def world():
    return taste_world(users=60)


@pytest.fixture(scope="module", params=["future", "window"])
def task(request):
    return make_task(label=request.param, window=8)


@pytest.fixture(scope="module")
def split(world, task):
    return divide(world, task)


class Scorer:
    """Answers with a function of the histories."""

    def __init__(self, answer, history_length=50):
        self.answer = answer
        self.history_length = history_length
        self.met = []

    def rank_labels(self, histories, goal):
        self.met.append((histories, goal))
        return self.answer(histories)


def blind(histories):
    return torch.arange(C, dtype=torch.float32).flip(0).expand(len(histories), -1)


def favourites(world, items):
    """Names of the most frequent genres of some items, counted one by one; none without any."""
    counts = Counter()
    for item in items:
        counts.update(set(world.catalog.columns["genres"][item].tolist()) - {0})
    most = max(counts.values(), default=0)
    labels = world.events.schema["genres"].labels
    return [labels[value - 1] for value in sorted(counts) if counts[value] == most]


def held_out(world, task, user):
    """Items that decide what is right for the test target of a user."""
    log, row = world.events, world.users.to_internal(user) - 1
    own = log.items[log.indptr[row] : log.indptr[row + 1]]
    return own[-5:] if task.settings.label == "future" else own[:-5][-8:]


def test_right_labels_are_those_of_a_plain_count(world, task, split):
    frame = task.evaluate(Scorer(blind), split, world, "include").examples
    assert len(frame) == 60
    for row in frame.iter_rows(named=True):
        assert row["right"] == favourites(world, held_out(world, task, row["user"]))
        assert row["tied"] == (len(row["right"]) > 1)
    assert 0 < frame["tied"].sum() < len(frame)


def test_both_labels_hold_the_same_events_out(world):
    splits = [divide(world, make_task(label=label)) for label in ("future", "window")]
    assert splits[0].target_hash == splits[1].target_hash
    assert splits[0].train.fingerprint == splits[1].train.fingerprint


def test_every_number_follows_from_the_written_frame(world, task, split, tmp_path):
    found = task.evaluate(
        Scorer(lambda h: torch.sin(h.features["item"][:, :1] * torch.arange(1.0, C + 1))),
        split,
        world,
        "include",
    )
    found.examples.write_parquet(tmp_path / "examples.parquet")
    frame = pl.read_parquet(tmp_path / "examples.parquet")
    for k in (1, 5):
        hits = [bool(set(r) & set(said[:k])) for r, said in frame.select("right", "ranked").rows()]
        assert frame[f"recall@{k}"].to_list() == hits
        assert found.metrics[f"recall@{k}"] == np.mean(hits)
    sure = frame.filter(~pl.col("tied"))
    names = world.events.schema["genres"].labels
    pairs = [
        np.array([names.index(values[0]) for values in sure[column]])
        for column in ("right", "ranked")
    ]
    assert found.metrics["macro_f1"] == macro_f1(*pairs)
    assert found.metrics["users/tied"] == pytest.approx(frame["tied"].mean())
    assert found.metrics["users/unlabelled"] == 0
    assert set(task.metrics) <= set(found.intervals)
    for name, (low, high) in found.intervals.items():
        assert low <= found.metrics[name] <= high


def test_a_method_reads_the_window_at_most_and_no_held_out_event(world, task, split):
    test = split.test
    for length, seen in ((50, 8), (3, 3)):
        method = Scorer(blind, length)
        task.evaluate(method, split, world, "include")
        items = torch.cat([histories.features["item"] for histories, _ in method.met])
        assert items.shape == (len(test), seen)
        for n, row in enumerate(items):
            assert row.tolist() == test.log.items[test.stops[n] - seen : test.stops[n]].tolist()


def test_a_method_is_asked_about_the_goal_that_it_was_fitted_for_without_examples(
    world, task, split
):
    fitted, method = task.goal(split.train), Scorer(blind)
    task.evaluate(method, split, world, "include")
    asked = method.met[0][1]
    assert (asked.task, asked.query, asked.labels) == (fitted.task, fitted.query, fitted.labels)
    assert asked.query == "Favourite genre:"
    assert not len(asked.starts)
    assert asked.right.shape == (0, C)


def test_training_examples_lie_within_training_and_have_the_labels_of_a_plain_count(
    world, task, split
):
    goal, log = task.goal(split.train), split.train.events
    assert goal.right.shape == (len(goal.starts), C)
    for start, stop, right in zip(goal.starts, goal.stops, goal.right, strict=True):
        owner = np.searchsorted(log.indptr, start, side="right") - 1
        begin, end = log.indptr[owner], log.indptr[owner + 1]
        assert start == max(begin, stop - 8)
        assert start < stop
        if task.settings.label == "future":
            assert stop + 5 <= end
            counted = log.items[stop : stop + 5]
        else:
            assert stop <= end
            counted = log.items[start:stop]
        names = [name for name, is_right in zip(goal.labels, right, strict=True) if is_right]
        assert names == favourites(world, counted)


def test_places_are_drawn_from_all_that_can_be_asked_about():
    indptr = np.array([0, 4, 4, 5, 25])
    drawn = set()
    for seed in range(200):
        begins, places = drawn_places(indptr, ahead=2, most=3, seed=seed)
        assert len(set(places)) == len(places)
        assert np.bincount(np.searchsorted(indptr, begins, side="right") - 1).tolist() == [
            2, 0, 0, 3,
        ]  # fmt: skip
        drawn |= set(places.tolist())
    assert drawn == {1, 2, *range(6, 24)}


def test_everybody_gets_the_same_examples_and_no_more_of_a_user_than_asked(task, split):
    first, second = task.goal(split.train), task.goal(split.train)
    assert np.array_equal(first.stops, second.stops)
    few = type(task)(task.settings.model_copy(update={"positions": 2})).goal(split.train)
    owners = np.searchsorted(split.train.events.indptr, few.starts, side="right")
    assert np.bincount(owners).max() == 2


def test_an_event_counts_a_label_once_and_items_without_label_count_nothing(world):
    column = np.zeros_like(world.catalog.columns["genres"])
    column[1], column[2] = (1, 1), (2, 0)
    plain = with_genres(world, column)
    task = make_task(label="window", window=3)
    split = divide(plain, task)
    question = task.question(split.test, split.train)
    for start, stop, right in zip(
        question.examples.starts, question.examples.stops, question.right, strict=True
    ):
        met = question.examples.log.items[max(start, stop - 3) : stop].tolist()
        counts = [met.count(1), met.count(2)]
        expected = [count == max(counts) and count > 0 for count in counts]
        assert right[:2].tolist() == expected
    found = task.evaluate(Scorer(blind), split, plain, "include")
    unlabelled = len(split.test) - len(found.examples)
    assert unlabelled > 0
    assert found.metrics["users/unlabelled"] == unlabelled / len(split.test)


def with_genres(world, column):
    catalog = replace(world.catalog, columns={**world.catalog.columns, "genres": column})
    log = replace(world.events, item_columns={**world.events.item_columns, "genres": column})
    return replace(world, catalog=catalog, events=log)


def test_a_category_of_one_value_an_item_will_do(world):
    schema = FeatureSchema(
        tuple(
            Feature("kind", FeatureKind.CATEGORY, 3, of_item=True, labels=("x", "y", "z"))
            if f.name == "genres"
            else f
            for f in world.events.schema
        )
    )
    kinds = np.arange(len(world.catalog) + 1) % 4
    columns = {"kind": kinds, "year": world.catalog.columns["year"]}
    other = replace(
        world,
        catalog=replace(world.catalog, columns=columns),
        events=replace(world.events, schema=schema, item_columns=columns),
        label_feature="kind",
    )
    task = make_task()
    assert task.unfit(other) == ""
    goal = task.goal(divide(other, task).train)
    assert (goal.labels, goal.query) == (("x", "y", "z"), "Favourite kind:")
    assert goal.right.any(axis=0).all()


def test_what_has_fewer_than_two_labels_is_refused(world):
    task = make_task()
    assert task.unfit(world) == ""
    assert "no genres or categories" in task.unfit(replace(world, label_feature=""))
    one = np.where(world.catalog.columns["genres"] > 0, 2, 0)
    assert "1 of its genres" in task.unfit(with_genres(world, one))
    assert "0 of its genres" in task.unfit(with_genres(world, 0 * one))


def test_too_long_a_horizon_for_training_says_what_to_set(world):
    task = make_task(horizon=9)
    with pytest.raises(UserError, match=r"favorite_genre\.horizon"):
        task.goal(divide(taste_world(users=60, events=(19, 20)), task).train)


@pytest.mark.parametrize(
    "answer",
    [
        lambda h: torch.zeros(len(h), C - 1),
        lambda h: torch.zeros(len(h), C, dtype=torch.long),
        lambda h: torch.full((len(h), C), torch.nan),
    ],
)
def test_an_answer_that_is_no_scores_is_an_error(world, task, split, answer):
    with pytest.raises(RunError, match="dullard: "):
        task.evaluate(Scorer(answer), split, world, "include", name="dullard")


def test_equal_scores_in_the_order_of_the_labels():
    scores = torch.tensor([[0.0, 1.0, 1.0, -torch.inf, 1.0, 0.0]])
    assert ranked(scores).tolist() == [[1, 2, 4, 0, 5, 3]]


def test_validation_is_asked_of_the_same_users_on_every_call(world, task, split):
    few = type(task)(task.settings.model_copy(update={"validation_users": 7}))
    validate, method = few.validator(split, "include"), Scorer(blind)
    assert validate(method) == validate(method)
    (first, _), (second, _) = method.met
    assert len(first) == 7
    assert torch.equal(first.users, second.users)
    everybody = task.validator(split, "include")(method)
    assert set(everybody) == set(task.metrics)
    assert everybody["recall@1"] == pytest.approx(
        task.evaluate(method, split, world, "include", part="validation").metrics["recall@1"]
    )


def test_names_of_features_make_a_question():
    assert query_of("categories") == "Favourite category:"
    assert query_of("main_class") == "Favourite main class:"
