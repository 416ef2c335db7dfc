import numpy as np
import pytest
import torch

from benchmark.data.splits import split_last
from benchmark.tasks.circumstances import circumstances, popularity, popularity_of_lists
from benchmark.tasks.config import NextItemSettings
from benchmark.tasks.next_item import NextItem
from tests.world import FixedScores, hashed_scores, small_world


@pytest.fixture(scope="module")
def examples(world_split):
    return world_split.test


def test_they_are_counted_by_hand(examples, world_split):
    frame = circumstances(examples, world_split.train)
    trained = world_split.train.events.items.tolist()
    log = examples.log
    for row in range(len(examples)):
        begin, stop = int(examples.starts[row]), int(examples.stops[row])
        told = frame.row(row, named=True)
        assert told["history_events"] == stop - begin
        assert told["gap_seconds"] == log.timestamps[stop] - log.timestamps[stop - 1] >= 0
        assert (told["gap_seconds"] == 0) == bool(examples.tied[row])
        assert told["target_popularity"] == trained.count(int(log.items[stop]))


def test_popularity_is_of_training_alone():
    """Taking the test events away changes nothing."""
    world = small_world()
    split = split_last(world)
    total = popularity(split.train)
    assert total.sum() == split.train.events.num_events
    assert total[0] == 0


def test_popularity_of_histories_and_lists(examples, world_split):
    met = popularity(world_split.train)
    ranked = np.zeros((len(examples), 12), dtype=np.int64)
    ranked[:, :3] = [5, 7, 9]
    ranked[0] = 0
    ranked[1] = np.arange(1, 13)
    frame = popularity_of_lists(examples, ranked, world_split.train)
    lists = frame["ranked_popularity"]
    assert lists[0] is None  # nothing was ranked
    assert lists[1] == pytest.approx(met[1:11].mean())  # the first ten alone
    assert lists[2] == pytest.approx(met[[5, 7, 9]].mean())
    begin, stop = int(examples.starts[3]), int(examples.stops[3])
    history = met[examples.log.items[begin:stop]]
    assert frame["history_popularity"][3] == pytest.approx(history.mean())


@pytest.mark.parametrize("seen", ["exclude", "include"])
def test_log_probabilities_of_the_first_and_of_all_candidates(world, world_split, seen):
    def log_probs(histories):
        every = torch.log_softmax(hashed_scores(histories)[:, 1:].double(), dim=1)
        return torch.cat([torch.full((len(every), 1), -torch.inf), every], dim=1)

    task = NextItem(NextItemSettings(batch_size=16))
    method = FixedScores(log_probs, log_probs=True)
    frame = task.evaluate(method, world_split, world, seen).examples
    first, target = frame["first_logprob"].to_numpy(), frame["target_logprob"].to_numpy()
    every = frame["candidates_logprob"].to_numpy()
    hit = frame["target_rank"].to_numpy() == 1
    assert (first[hit] == target[hit]).all()
    assert hit.any()
    assert (first <= every + 1e-9).all()
    assert (target <= first)[hit | (seen == "include")].all()
    if seen == "include":
        assert (every == 0).all()
    else:
        assert (every < 0).all()
