import hashlib
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from benchmark.data.division import Need, hash_targets, shared_split
from benchmark.data.histories import latest_events
from benchmark.data.leaks import find_leaks
from benchmark.data.splits import split_cold_items, split_global_time, split_last
from benchmark.data.splits_config import ColdItemsSettings, GlobalTimeSettings
from benchmark.errors import UserError
from benchmark.schema import TEXT, IdMap
from benchmark.texts import Texts
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


@pytest.mark.parametrize("need", [Need(), Need(block=3)])
def test_the_hash_of_targets_is_of_sorted_lines_that_anybody_can_write(need):
    world = spread_world()
    names = [f"{'é' if n % 3 else '~'}{n}" for n in range(len(world.users))]
    world = replace(world, users=IdMap(names))
    split = split_last(world, need)
    items = world.catalog.items.external_ids
    lines = []
    for part in ("validation", "test"):
        asked = getattr(split, part)
        for user, begin, end in zip(asked.users, asked.stops, asked.ends, strict=True):
            named = ",".join(items[item - 1] for item in asked.log.items[begin:end])
            lines.append(f"{part}\t{names[user - 1]}\t{named}\n")
    assert len(lines) > 100
    expected = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
    assert split.target_hash == expected
    assert hash_targets(world, {"test": split.test.only(np.zeros(0, dtype=int))}) == (
        hashlib.sha256(b"").hexdigest()
    )


def test_nothing_leaks(world, world_split):
    assert find_leaks(world, world_split) == []
    shorty = small_world(short_users=9, tied=0.5)
    assert find_leaks(shorty, split_last(shorty)) == []


def test_a_planted_validation_target_is_found(world, world_split):
    stops = world.events.indptr[1:] - 2
    stops[3] += 1
    leaky = with_training(world_split, world.events.truncated(stops))
    assert find_leaks(world, leaky) == ["training: user 4 learns a target or later events"]


def test_planted_test_targets_are_found(world, world_split):
    leaky = with_training(world_split, world.events.truncated(world.events.indptr[1:]))
    assert len(find_leaks(world, leaky)) == world.events.num_users


def test_a_training_log_that_still_holds_later_events_is_found(world, world_split):
    whole = world.events
    views = {name: column[: whole.num_events - 2] for name, column in whole.columns.items()}
    leaky = with_training(world_split, replace(whole, columns=views))
    assert any("view" in finding for finding in find_leaks(world, leaky))


def test_validation_that_asks_for_test_targets_is_found(world, world_split):
    swapped = replace(world_split, validation=world_split.test)
    findings = find_leaks(world, swapped)
    assert sum("validation is not before test" in finding for finding in findings) == len(
        world_split.test
    )


def test_a_history_of_somebody_else_is_found(world, world_split):
    test = world_split.test
    other = replace(test, starts=np.roll(test.starts, 1), stops=np.roll(test.stops, 1),
                    ends=np.roll(test.ends, 1))  # fmt: skip
    findings = find_leaks(world, replace(world_split, test=other))
    assert len([f for f in findings if "is not what they did" in f]) >= len(test) - 1


@pytest.mark.parametrize("need", [Need(), Need(block=3), Need(field=TEXT)])
@pytest.mark.parametrize("divide", [split_last, split_global_time, split_cold_items])
def test_no_split_leaks(divide, need):
    world = spread_world()
    split = divide(world, need)
    assert find_leaks(world, split) == []
    assert np.all(split.test.ends - split.test.stops == need.block)
    if need.field:
        assert all(split.test.log.written[TEXT][stop] for stop in split.test.stops)
    later = world.events.only(np.ones(world.events.num_events, dtype=bool))
    assert find_leaks(world, with_training(split, later)) != []


def spread_world():
    """Users who begin at different times and do not always write."""
    world = small_world(short_users=9, tied=0.2)
    log = world.events
    texts = [text if n % 3 else "" for n, text in enumerate(log.written[TEXT])]
    begins = np.repeat(log.timestamps[log.indptr[:-1]], log.lengths)
    times = begins + (log.timestamps - begins) * 3000  # months, not hours
    written = {TEXT: Texts.of(texts)}
    return replace(world, events=replace(log, written=written, timestamps=times))


def test_global_time_trains_strictly_before_its_date():
    world = spread_world()
    days = np.unique(world.events.timestamps // 86_400)
    first, second = (date.fromtimestamp(0) + timedelta(days=int(days[k])) for k in (-160, -80))
    settings = GlobalTimeSettings(validation_from=first, test_from=second)
    split = split_global_time(world, Need(), settings)
    log = world.events
    begin, middle = (int((day - date(1970, 1, 1)).days) * 86_400 for day in (first, second))
    assert split.train.events.timestamps.max() < begin
    assert split.train.events.num_events == (log.timestamps < begin).sum()
    times = split.validation.log.timestamps[split.validation.stops]
    assert np.all((times >= begin) & (times < middle))
    assert np.all(split.test.log.timestamps[split.test.stops] >= middle)
    # Each target is the user's first event from the date on, and who is cold is counted.
    owner = np.repeat(np.arange(log.num_users), log.lengths)
    late, early = log.timestamps >= middle, log.timestamps < middle
    asked = set(owner[late]) & set(owner[early])
    assert {user - 1 for user in split.test.users} == asked
    assert split.facts["test_users_cold"] == len(set(owner[late]) - set(owner[early]))
    for n, user in enumerate(split.test.users):
        own = slice(log.indptr[user - 1], log.indptr[user])
        firsts = log.items[own][log.timestamps[own] >= middle]
        assert split.test.targets[n] == firsts[0]
    assert not split.leak
    assert split_last(world).leak


@pytest.mark.parametrize(
    "settings",
    [
        {"validation_from": date(1971, 1, 1), "test_from": date(1972, 1, 1)},
        {"validation_from": date(2035, 1, 1), "test_from": date(2036, 1, 1)},
    ],
)
def test_dates_that_leave_nobody_are_the_users_error(settings):
    with pytest.raises(UserError, match="choose other dates"):
        split_global_time(spread_world(), Need(), GlobalTimeSettings(**settings))


def test_cold_items_are_met_nowhere_but_as_targets():
    world = spread_world()
    split = split_cold_items(world, Need(), ColdItemsSettings(share=0.2, seed=3))
    cold = set(range(1, len(world.catalog) + 1)) - set(split.train.events.items.tolist())
    assert len(cold) >= round(0.2 * len(np.unique(world.events.items)))
    assert split.facts["items_cold"] == round(0.2 * len(np.unique(world.events.items)))
    for examples in (split.validation, split.test):
        for begin, stop in zip(examples.starts, examples.stops, strict=True):
            assert not cold & set(examples.log.items[begin:stop].tolist())
        groups = examples.groups
        assert np.array_equal(groups["cold"], np.isin(examples.targets, list(cold)))
        assert np.array_equal(groups["cold"], ~groups["warm"])
        assert 0 < groups["cold"].sum() < len(examples)
    # Their text stays, and another seed chooses others.
    assert list(split.train.catalog.texts) == list(world.catalog.texts)
    other = split_cold_items(world, Need(), ColdItemsSettings(share=0.2, seed=4))
    assert other.target_hash == split.target_hash or other.train.fingerprint != (
        split.train.fingerprint
    )


def test_what_tasks_share_ends_before_the_targets_of_all():
    world = spread_world()
    splits = {"next": split_last(world), "block": split_last(world, Need(block=3)),
              "text": split_last(world, Need(field=TEXT))}  # fmt: skip
    shared = shared_split(world, splits)
    for split in splits.values():
        assert np.all(~shared.kept | split.kept)
    # It asks for nothing that a task has as test target.
    tested = {}
    for split in splits.values():
        test = split.test
        for n, user in enumerate(test.users.tolist()):
            before = world.events.indptr[user] - world.events.indptr[user - 1]
            behind = before - (test.stops[n] - test.starts[n])
            tested.setdefault(user, []).append(behind)
    for n, user in enumerate(shared.validation.users.tolist()):
        place = shared.validation.stops[n] - shared.validation.starts[n]
        behind = world.events.lengths[user - 1] - place
        assert all(behind > own for own in tested.get(user, [])), user
    alone = shared_split(world, {"next": splits["next"]})
    assert alone.train.fingerprint == splits["next"].train.fingerprint
    assert np.array_equal(alone.validation.targets, splits["next"].validation.targets)


def test_other_values_in_training_are_found(world, world_split):
    train = world_split.train.events
    other = {**train.columns, "rating": train.columns["rating"][::-1].copy()}
    leaky = with_training(world_split, replace(train, columns=other))
    assert any(finding.startswith("training") for finding in find_leaks(world, leaky))
    texts = Texts.of(["told in advance", *train.written[TEXT][1:]])
    told = replace(train, written={TEXT: texts})
    assert len(find_leaks(world, with_training(world_split, told))) == 1


def test_training_and_validation_do_not_know_the_tests(world, world_split):
    other = split_last(randomise_tests(world))
    assert not np.any(other.test.targets == world_split.test.targets)
    assert other.target_hash != world_split.target_hash
    assert other.train.fingerprint == world_split.train.fingerprint
    for part in ("train", "validation"):
        ours, theirs = getattr(world_split, part), getattr(other, part)
        ours, theirs = (ours.events, theirs.events) if part == "train" else (ours.log, theirs.log)
        assert ours.written == theirs.written
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


def test_examples_copy_no_event_where_all_are_kept(world, world_split):
    assert world_split.test.log is world.events
    assert not np.shares_memory(world_split.validation.log.items, world.events.items)


def test_latest_events_of_a_part_of_the_users(world):
    examples = latest_events(world.events, np.array([2, 5]))
    assert examples.users.tolist() == [3, 6]
    assert examples.targets.tolist() == [
        world.events.items[world.events.indptr[3] - 1],
        world.events.items[world.events.indptr[6] - 1],
    ]
