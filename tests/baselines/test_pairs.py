from __future__ import annotations

import itertools

import numpy as np

from baselines.pairs import endless_pairs, target_positions
from benchmark.schema import ITEM


def test_an_epoch_holds_every_event_but_the_first_once(world):
    log = world.events
    batches, count = endless_pairs(log, 6, 10, seed=1)
    assert count == log.num_events - log.num_users
    seen = list(itertools.islice(batches, -(-count // 10)))
    targets = np.concatenate([pairs.targets.numpy() for pairs in seen])[:count]
    expected = log.items[target_positions(log)]
    assert sorted(targets) == sorted(expected)


def test_a_history_ends_just_before_its_target(world):
    log = world.events
    pairs = next(endless_pairs(log, 6, 32, seed=2)[0])
    for row in range(32):
        user = int(pairs.histories.users[row]) - 1
        own = log.items[log.indptr[user] : log.indptr[user + 1]]
        (at,) = np.flatnonzero(own == int(pairs.targets[row]))  # no repeats in this world
        read = pairs.histories.features[ITEM][row][pairs.histories.mask[row]]
        assert read.tolist() == own[max(0, at - 6) : at].tolist()


def test_a_negative_is_never_the_target(world):
    batches, _ = endless_pairs(world.events, 6, 64, seed=3)
    for pairs in itertools.islice(batches, 20):
        assert (pairs.negatives != pairs.targets).all()
        assert (pairs.negatives >= 1).all()
        assert (pairs.negatives <= len(world.catalog)).all()
