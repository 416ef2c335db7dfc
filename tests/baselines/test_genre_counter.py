from __future__ import annotations

import pytest
import torch

from baselines.config import GenreCounterSettings
from baselines.genre_counter import GenreCounter, label_counts
from benchmark.protocols import LabelRanker
from tests.label_world import divide, fit, label_context, make_task, taste_world


@pytest.fixture(scope="module")
def world():
    return taste_world(users=80)


def asked(world, task, name, cache):
    split = divide(world, task)
    method, report = fit(name, split, label_context(world, task, split, cache))
    assert isinstance(method, LabelRanker)
    assert report.stages[0].name == "count"
    return task.evaluate(method, split, world, "include")


def test_knows_the_label_of_the_window_and_popularity_does_not(world, tmp_path):
    for window in (4, 12, 50):
        task = make_task(label="window", window=window)
        counted = asked(world, task, "genre_counter", tmp_path)
        assert (counted.examples["recall@1"] == 1).all()
        assert counted.metrics["macro_f1"] == 1

        assert asked(world, task, "popularity", tmp_path).intervals["recall@1"][1] < 0.8


def test_a_counter_that_sees_less_than_the_window_is_not_perfect(world, tmp_path):
    task = make_task(label="window", window=20)
    split = divide(world, task)
    method = GenreCounter(GenreCounterSettings(history=3))
    method.fit(split.train, label_context(world, task, split, tmp_path))
    assert task.evaluate(method, split, world, "include").metrics["recall@1"] < 1


def test_tells_what_users_will_do_better_than_popularity(world, tmp_path):
    task = make_task()
    counted, popular = (asked(world, task, m, tmp_path) for m in ("genre_counter", "popularity"))
    assert counted.intervals["recall@1"][0] > popular.intervals["recall@1"][1]


def test_counts_first_then_frequency(world, tmp_path):
    task = make_task()
    split = divide(world, task)
    method, _ = fit("genre_counter", split, label_context(world, task, split, tmp_path))
    log, values = split.train.events, split.train.catalog.columns["genres"]
    expected = [sum(c + 1 in set(values[i].tolist()) for i in log.items) for c in range(6)]
    shares = method.state()["shares"]
    assert (shares * (log.num_events + 1)).tolist() == pytest.approx(expected)
    nothing = log.gather(log.indptr[:2], log.indptr[:2], 4)
    scores = method.rank_labels(nothing, task.asked_of(split.train))
    torch.testing.assert_close(scores, shares.expand(2, -1))


def test_an_event_counts_a_label_once_and_padding_none():
    values = torch.tensor([[[2, 2, 1], [0, 0, 0], [3, 2, 0]], [[1, 0, 0], [1, 0, 1], [0, 0, 0]]])
    assert label_counts(values, 3).tolist() == [[1, 2, 1], [2, 0, 0]]
