import hashlib
from dataclasses import replace

import numpy as np
import pytest

from benchmark.data.histories import latest_events
from benchmark.data.leaks import find_leaks
from benchmark.data.splits import split_last
from benchmark.errors import UserError
from tests.world import randomise_tests, small_world


def with_training(split, events):
    return replace(split, train=replace(split.train, events=events))


def test_last_is_test_and_the_one_before_validation(world, world_split):
    log = world.events
    for n, user in enumerate(world_split.test.users):
        mine = log.items[log.indptr[user - 1] : log.indptr[user]]
        assert world_split.test.targets[n] == mine[-1]
        assert world_split.validation.targets[n] == mine[-2]
        train = world_split.train.events
        learnt = train.items[train.indptr[user - 1] : train.indptr[user]]
        assert learnt.tolist() == mine[:-2].tolist()
    assert world_split.facts["users_evaluated"] == len(world_split.test) == log.num_users


def test_nothing_leaks(world, world_split):
    assert find_leaks(world, world_split) == []
    shorty = small_world(short_users=9, tied=0.5)
    assert find_leaks(shorty, split_last(shorty)) == []


def test_a_planted_validation_target_is_found(world, world_split):
    stops = world.events.indptr[1:] - 2
    stops[3] += 1
    leaky = with_training(world_split, world.events.truncated(stops))
    assert find_leaks(world, leaky) == [
        "training: user 4 learns the validation target or later events"
    ]


def test_planted_test_targets_are_found(world, world_split):
    leaky = with_training(world_split, world.events.truncated(world.events.indptr[1:]))
    assert len(find_leaks(world, leaky)) == world.events.num_users


def test_a_training_log_that_still_holds_later_events_is_found(world, world_split):
    whole = world.events
    views = {name: column[: whole.num_events - 2] for name, column in whole.columns.items()}
    leaky = with_training(world_split, replace(whole, columns=views))
    assert any("view" in finding for finding in find_leaks(world, leaky))


def test_a_history_that_holds_its_target_is_found(world, world_split):
    test = world_split.test
    leaky = replace(world_split, test=replace(test, stops=test.stops + 0, starts=test.starts + 1))
    assert any("not how their events begin" in finding for finding in find_leaks(world, leaky))
    swapped = replace(world_split, validation=world_split.test)
    assert any("not the event before" in finding for finding in find_leaks(world, swapped))


def test_other_values_in_training_are_found(world, world_split):
    train = world_split.train.events
    other = {**train.columns, "rating": train.columns["rating"][::-1].copy()}
    leaky = with_training(world_split, replace(train, columns=other))
    assert any(finding.startswith("training") for finding in find_leaks(world, leaky))
    told = replace(train, texts=("told in advance", *train.texts[1:]))
    assert len(find_leaks(world, with_training(world_split, told))) == 1


def test_training_and_validation_do_not_know_the_tests(world, world_split):
    other = split_last(randomise_tests(world))
    assert not np.any(other.test.targets == world_split.test.targets)
    assert other.target_hash != world_split.target_hash
    assert other.train.fingerprint == world_split.train.fingerprint
    for part in ("train", "validation"):
        ours, theirs = getattr(world_split, part), getattr(other, part)
        ours, theirs = (ours.events, theirs.events) if part == "train" else (ours.log, theirs.log)
        assert ours.texts == theirs.texts
        for name, column in ours.columns.items():
            assert np.array_equal(column, theirs.columns[name])
            assert not np.shares_memory(column, world.events.columns[name])


def test_short_users_only_train():
    world = small_world(short_users=7)
    split = split_last(world)
    assert split.facts["users_only_trained"] == 7
    assert split.facts["users_evaluated"] == len(split.test) == 80
    short = np.flatnonzero(world.events.lengths < 3)
    assert not np.isin(short + 1, split.test.users).any()
    assert (split.train.events.lengths[short] == world.events.lengths[short]).all()


def test_no_user_to_evaluate():
    with pytest.raises(UserError, match="3 events"):
        split_last(small_world(events=(1, 2)))


def test_tied_targets_are_flagged():
    world = small_world(tied=0.5)
    split = split_last(world)
    for part in (split.validation, split.test):
        before, at = part.stops - 1, part.stops
        assert (part.tied == (part.log.timestamps[before] == part.log.timestamps[at])).all()
        assert 0 < part.tied.sum() < len(part)


def test_the_target_hash_can_be_made_by_hand(world, world_split):
    log, lines = world.events, []
    for row, user in enumerate(world.users.external_ids):
        mine = log.items[log.indptr[row] : log.indptr[row + 1]]
        for part, item in (("validation", mine[-2]), ("test", mine[-1])):
            lines.append(f"{part}\t{user}\t{world.catalog.items.to_external(int(item))}\n")
    assert world_split.target_hash == hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


@pytest.mark.parametrize("batch_size", [1, 7, 80, 1000])
def test_batches_cover_all_in_order(world_split, batch_size):
    test = world_split.test
    batches = list(test.batches(batch_size, 4))
    assert [n for rows, _ in batches for n in range(rows.start, rows.stop)] == list(
        range(len(test))
    )
    for rows, histories in batches:
        for n, history in zip(
            range(rows.start, rows.stop), histories.features["item"], strict=True
        ):
            expected = test.log.items[test.starts[n] : test.stops[n]][-4:].tolist()
            assert history.tolist() == expected + [0] * (4 - len(expected))


def test_seen_is_the_whole_history(world_split):
    test = world_split.test
    rows = slice(5, 12)
    seen = test.seen(rows)
    assert seen.shape == (7, 41)
    for n, row in zip(range(5, 12), seen, strict=True):
        history = set(test.log.items[test.starts[n] : test.stops[n]].tolist())
        assert set(row.nonzero()[:, 0].tolist()) == history
        assert test.targets[n] not in history


def test_sample_is_a_part_in_order(world_split):
    test = world_split.test
    some = test.sample(10, seed=1)
    assert len(some) == 10
    assert (np.diff(some.users) > 0).all()
    assert (some.targets == test.targets[some.users - 1]).all()
    assert np.array_equal(some.users, test.sample(10, seed=1).users)
    assert not np.array_equal(some.users, test.sample(10, seed=2).users)
    assert test.sample(999, seed=0) is test


def test_latest_events_of_a_part_of_the_users(world):
    examples = latest_events(world.events, np.array([2, 5]))
    assert examples.users.tolist() == [3, 6]
    assert examples.targets.tolist() == [
        world.events.items[world.events.indptr[3] - 1],
        world.events.items[world.events.indptr[6] - 1],
    ]
