from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from benchmark.data.splits import split_last
from benchmark.errors import UserError
from benchmark.metrics.ranking import recompute
from benchmark.protocols import CandidateRanker
from benchmark.schema import ITEM
from benchmark.tasks.config import NextItemSettings
from benchmark.tasks.next_item import NextItem, resolve_seen
from tests.world import FixedScores, TransitionCounts, hashed_scores, small_world

TASK = NextItem(NextItemSettings(batch_size=16))


@pytest.fixture(scope="module")
def evaluation(world, world_split):
    return TASK.evaluate(TransitionCounts(world_split.train.events), world_split, world, "exclude")


def test_a_row_a_user_in_external_ids(world, evaluation):
    frame = evaluation.examples
    asked = "user target ranked target_rank target_logprob first_logprob candidates_logprob"
    about = "history_events gap_seconds target_popularity history_popularity ranked_popularity"
    metrics = list(TASK.metrics)
    assert frame.columns == [*asked.split(), "candidates", "tied", *metrics, *about.split()]
    assert list(evaluation.metrics) == metrics
    assert frame["user"].to_list() == list(world.users.external_ids)
    assert set(frame["target"]) <= set(world.catalog.items.external_ids)
    assert frame["ranked"].list.len().min() >= 10
    assert frame["target_logprob"].null_count() == len(frame)
    assert evaluation.seconds > 0


def test_every_number_follows_from_the_written_frame(evaluation, tmp_path):
    evaluation.examples.write_parquet(tmp_path / "examples.parquet")
    frame = pl.read_parquet(tmp_path / "examples.parquet")
    for name, values in recompute(frame).items():
        assert frame[name].to_list() == values.tolist()
        assert evaluation.metrics[name] == values.mean()
        low, high = evaluation.intervals[name]
        assert low <= evaluation.metrics[name] <= high
    ranks = frame["target_rank"].to_numpy()
    assert evaluation.metrics["recall@5"] == np.mean(ranks <= 5)


@pytest.mark.parametrize("seen", ["exclude", "include"])
def test_ranks_are_those_of_a_plain_sort(world, world_split, seen):
    method = FixedScores(hashed_scores)
    frame = TASK.evaluate(method, world_split, world, seen).examples
    test = world_split.test
    _, histories = next(test.batches(len(test), method.history_length))
    scores = hashed_scores(histories)
    for n, row in enumerate(frame.iter_rows(named=True)):
        history = set(test.log.items[test.starts[n] : test.stops[n]].tolist())
        left = [i for i in range(1, 41) if seen == "include" or i not in history]
        left.sort(key=lambda item: -scores[n, item].item())
        names = [world.catalog.items.to_external(item) for item in left]
        assert row["ranked"] == names[:10]
        assert row["target_rank"] == names.index(row["target"]) + 1
        assert row["candidates"] == len(left)


def test_independent_of_batch_size(world, world_split):
    frames = [
        NextItem(NextItemSettings(batch_size=size))
        .evaluate(FixedScores(hashed_scores), world_split, world, "exclude")
        .examples
        for size in (1, 7, 80, 500)
    ]
    for frame in frames[1:]:
        assert frame.equals(frames[0])


def test_equal_scores_in_catalogue_order(world, world_split):
    frame = TASK.evaluate(FixedScores(torch.zeros(41)), world_split, world, "include").examples
    ids = world.catalog.items.external_ids
    assert set(map(tuple, frame["ranked"])) == {ids[:10]}
    assert frame["target_rank"].to_list() == [ids.index(target) + 1 for target in frame["target"]]


def test_logprobs_are_those_before_exclusion(world, world_split):
    scores = torch.arange(41.0).index_fill(0, torch.tensor([0]), -torch.inf).log_softmax(0)
    method = FixedScores(scores, log_probs=True)
    for seen in ("exclude", "include"):
        frame = TASK.evaluate(method, world_split, world, seen).examples
        expected = scores[torch.from_numpy(world_split.test.targets).long()]
        assert np.allclose(frame["target_logprob"].to_numpy(), expected.numpy())
        values = TASK.validator(world_split, seen)(method)
        assert values["nll"] == pytest.approx(
            -scores[torch.from_numpy(world_split.validation.targets).long()].mean().item(), rel=1e-5
        )


def test_a_method_reads_its_history_length_and_no_target(world, world_split):
    looked = []

    def scores(histories):
        looked.append(histories)
        return torch.rand(len(histories), 41)

    TASK.evaluate(FixedScores(scores, history_length=3), world_split, world, "exclude")
    test = world_split.test
    items = torch.cat([histories.features[ITEM] for histories in looked])
    assert items.shape == (len(test), 3)
    for n, row in enumerate(items):
        assert row.tolist() == test.log.items[test.stops[n] - 3 : test.stops[n]].tolist()


def test_a_target_met_before_is_missed_when_seen_items_are_out():
    world = small_world(repeats=True, follow=0.2)
    split = split_last(world)
    method = FixedScores(hashed_scores)
    frame = TASK.evaluate(method, split, world, "exclude").examples
    test = split.test
    met = np.array(
        [
            target in test.log.items[start:stop]
            for target, start, stop in zip(test.targets, test.starts, test.stops, strict=True)
        ]
    )
    assert 0 < met.sum() < len(met)
    assert frame["target_rank"].is_null().to_list() == met.tolist()
    assert frame.filter(pl.Series(met))["recall@10"].sum() == 0
    assert TASK.evaluate(method, split, world, "include").examples["target_rank"].null_count() == 0


def test_seen_auto_asks_the_data_set(world):
    assert resolve_seen("auto", world) == "exclude"
    assert resolve_seen("auto", replace(world, has_repeats=True)) == "include"
    assert resolve_seen("include", world) == "include"
    with pytest.raises(UserError, match="did you mean 'exclude'"):
        resolve_seen("exclud", world)


def test_validation_is_its_own_part(world, world_split):
    method = TransitionCounts(world_split.train.events)
    frame = TASK.evaluate(method, world_split, world, "exclude", part="validation").examples
    items = world.catalog.items
    assert [
        items.to_internal(t) for t in frame["target"]
    ] == world_split.validation.targets.tolist()
    values = TASK.validator(world_split, "exclude")(method)
    assert values == pytest.approx({name: frame[name].mean() for name in TASK.metrics})
    with pytest.raises(ValueError, match="part"):
        TASK.evaluate(method, world_split, world, "exclude", part="train")


def test_a_sample_of_validation_users(world_split):
    method = TransitionCounts(world_split.train.events)
    task = NextItem(NextItemSettings(validation_users=20))
    validate = task.validator(world_split, "exclude")
    assert validate(method) == validate(method)
    assert round(validate(method)["recall@1"] * 20, 9) % 1 == 0


def test_fewer_candidates_than_kept(world_split):
    world = small_world(items=14, events=(10, 12))
    split = split_last(world)
    method = TransitionCounts(split.train.events)
    frame = TASK.evaluate(method, split, world, "exclude").examples
    assert (frame["ranked"].list.len() == frame["candidates"]).all()
    assert frame["candidates"].max() < 10
    assert frame["target_rank"].null_count() == 0


def test_progress_is_told(world, world_split):
    class Told:
        def __init__(self):
            self.calls = []

        def stage(self, name, total_epochs=None):
            self.calls.append((name, total_epochs))

        def update(self, epoch, loss=None, value=None):
            self.calls.append(epoch)

        def note(self, text):
            raise AssertionError

    told = Told()
    method = FixedScores(torch.zeros(41))
    assert isinstance(method, CandidateRanker)
    TASK.evaluate(method, world_split, world, "exclude", progress=told)
    assert told.calls == [("evaluate on test", 1.0), 0.2, 0.4, 0.6, 0.8, 1.0]
