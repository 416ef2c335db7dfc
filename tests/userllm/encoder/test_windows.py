from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from benchmark.schema import ITEM
from userllm.encoder.windows import endless_windows, targets_per_window


def test_an_epoch_has_every_event_but_the_first_as_a_target_once(world):
    log = world.events
    batches, windows = endless_windows(log, 6, 1, seed=0)
    pairs = [
        (int(b.users[0]), item)
        for b in itertools.islice(batches, windows)
        for item in b.features[ITEM][0, 1 : int(b.lengths[0])].tolist()
    ]
    users = np.repeat(np.arange(1, log.num_users + 1), log.lengths)
    first = np.isin(np.arange(log.num_events), log.indptr)
    expected = list(zip(users[~first].tolist(), log.items[~first].tolist(), strict=True))
    assert sorted(pairs) == sorted(expected)
    assert targets_per_window(log, windows) * windows == pytest.approx(len(expected))


def test_every_batch_is_full_and_no_longer_than_its_longest_window(world):
    batches, _ = endless_windows(world.events, 6, 7, seed=0)
    for batch in itertools.islice(batches, 60):
        assert len(batch) == 7
        assert batch.mask.shape[1] == int(batch.lengths.max()) <= 6
        assert (batch.lengths >= 2).all()


def test_epochs_differ_and_seeds_repeat(world):
    def take(seed):
        batches, windows = endless_windows(world.events, 6, 8, seed=seed)
        count = 2 * windows // 8
        return [batch.features[ITEM].tolist() for batch in itertools.islice(batches, count)]

    assert take(0) == take(0)
    assert take(0) != take(1)
    once = take(0)
    assert once[: len(once) // 2] != once[len(once) // 2 :]


def test_a_batch_never_holds_more_windows_than_an_epoch(world):
    batches, windows = endless_windows(world.events, 30, 10_000, seed=0)
    assert len(next(batches)) == windows


def test_nothing_to_learn_from_is_an_error(world):
    log = world.events
    lonely = log.truncated(log.indptr[:-1] + 1)
    with pytest.raises(ValueError, match="two events"):
        endless_windows(replace(lonely), 6, 8, seed=0)


def test_even_batches_hold_an_epoch_once_with_little_padding(world):
    log = world.events
    batches, windows = endless_windows(log, 6, 8, seed=0, by_events=True)
    epoch = list(itertools.islice(batches, round(windows / 8)))
    assert sum(len(batch) for batch in epoch) == windows
    targets = [item for b in epoch for item in b.features[ITEM][:, 1:][b.mask[:, 1:]].tolist()]
    first = np.isin(np.arange(log.num_events), log.indptr)
    assert sorted(targets) == sorted(log.items[~first].tolist())
    real = sum(int(batch.mask.sum()) for batch in epoch)
    assert real / sum(batch.mask.numel() for batch in epoch) > 0.9
    sizes = [int(batch.mask.sum()) for batch in epoch]
    assert max(sizes) - min(sizes) <= 12  # two windows at most
