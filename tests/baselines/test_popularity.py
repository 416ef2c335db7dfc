from __future__ import annotations

import numpy as np
import torch

from baselines.config import PopularitySettings
from baselines.popularity import Popularity
from benchmark.types import Candidates
from tests.baselines.fitting import context, histories


def test_counts_training_events_alone(world, world_split):
    method = Popularity(PopularitySettings(smoothing=1.0))
    method.fit(world_split.train, context(world_split))
    log = world.events
    counts = np.ones(len(world.catalog) + 1)
    for begin, end in zip(log.indptr[:-1], log.indptr[1:], strict=True):
        for item in log.items[begin : end - 2]:  # the last is test, the one before validation
            counts[item] += 1
    expected = torch.from_numpy(np.log(counts[1:] / counts[1:].sum())).float()
    torch.testing.assert_close(method.state()["log_probs"][1:], expected)


def test_ties_stand_in_catalogue_order_and_exclusions_are_left_out(world, world_split):
    method = Popularity(PopularitySettings())
    method.fit(world_split.train, context(world_split))
    count = len(world.catalog)
    exclude = torch.zeros(2, count + 1, dtype=torch.bool)
    exclude[1, 1 : count - 3] = True
    ids = method.rank(histories(world, 2, 3), Candidates(count, exclude), 10).ids
    weights = method.state()["log_probs"]
    order = sorted(range(1, count + 1), key=lambda item: (-float(weights[item]), item))
    assert ids[0].tolist() == order[:10]
    assert sorted(ids[1, :4].tolist()) == list(range(count - 3, count + 1))
    assert ids[1, 4:].tolist() == [0] * 6


def test_reads_no_history(world, world_split):
    method = Popularity(PopularitySettings())
    method.fit(world_split.train, context(world_split))
    count = len(world.catalog)
    test, nobody = world_split.test, torch.zeros(1, count + 1, dtype=torch.bool)
    ((_, empty), *_) = test.batches(1, method.history_length)
    assert empty.mask.shape == (1, 0)
    everything = method.rank(histories(world, 1, 3), Candidates(count, nobody), 10)
    assert method.rank(empty, Candidates(count, nobody), 10).ids.equal(everything.ids)
