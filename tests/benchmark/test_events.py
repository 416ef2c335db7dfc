from collections import Counter
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark import events
from benchmark.events import EventLog, cut_windows, kept_before, within
from benchmark.schema import ITEM, TEXT, Feature, FeatureKind, FeatureSchema
from benchmark.texts import Texts


def log_of(lengths: list[int]) -> EventLog:
    """A log whose every event has its own item, so that events can be told apart."""
    total = max(1, sum(lengths))
    schema = FeatureSchema(
        (
            Feature(ITEM, FeatureKind.ID, total),
            Feature("tags", FeatureKind.MULTI, 9, width=2),
            Feature("genres", FeatureKind.MULTI, 9, of_item=True, width=3),
        )
    )
    genres = np.tile(np.arange(total + 1)[:, None] % 9 + 1, (1, 3))
    genres[0] = 0
    return EventLog(
        schema=schema,
        indptr=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        columns={
            ITEM: np.arange(1, sum(lengths) + 1),
            "tags": np.tile([3, 4], (sum(lengths), 1)),
        },
        item_columns={"genres": genres},
        timestamps=np.arange(sum(lengths)),
        written={TEXT: Texts.of(f"t{n}" for n in range(sum(lengths)))},
    )


@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    length=st.integers(2, 9),
    seed=st.none() | st.integers(0, 99),
)
def test_windows_make_each_event_a_target_once(lengths, length, seed):
    log = log_of(lengths)
    rng = None if seed is None else np.random.default_rng(seed)
    windows = cut_windows(log, length, rng=rng)
    targets: Counter[int] = Counter()
    for start, stop in zip(windows.starts, windows.stops, strict=True):
        assert 2 <= stop - start <= length
        owner = np.searchsorted(log.indptr, start, side="right") - 1
        assert log.indptr[owner] <= start < stop <= log.indptr[owner + 1]
        targets.update(range(start + 1, stop))
    firsts = set(log.indptr[:-1].tolist())
    assert targets == Counter(n for n in range(log.num_events) if n not in firsts)


def test_without_shift_the_latest_window_is_full():
    windows = cut_windows(log_of([10]), 4)
    assert (windows.stops - windows.starts)[np.argmax(windows.stops)] == 4


def test_windows_shorter_than_asked_for_are_dropped():
    assert len(cut_windows(log_of([3, 9]), 8, minimum=4)) == 1
    for wrong in ({"length": 1}, {"length": 4, "minimum": 1}):
        with pytest.raises(ValueError, match="two events"):
            cut_windows(log_of([5]), **wrong)


def test_batches_follow_the_order_given():
    windows = cut_windows(log_of([5, 7, 3]), 4)
    order = np.arange(len(windows))[::-1]
    whole = next(windows.batches(order, len(order)))
    parts = list(windows.batches(order, 2))
    assert sum(map(len, parts)) == len(windows)
    assert torch.equal(torch.cat([part.features[ITEM] for part in parts]), whole.features[ITEM])


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    length=st.integers(1, 12),
    data=st.data(),
)
def test_gather_takes_the_latest_and_pads_on_the_right(lengths, length, data):
    log = log_of(lengths)
    cuts = [data.draw(st.integers(0, n)) for n in lengths]
    starts, stops = log.indptr[:-1], log.indptr[:-1] + cuts
    batch = log.gather(starts, stops, length)
    for row, cut in enumerate(cuts):
        kept = min(cut, length)
        expected = log.items[stops[row] - kept : stops[row]].tolist()
        assert batch.features[ITEM][row].tolist() == expected + [0] * (length - kept)
        assert batch.mask[row].tolist() == [True] * kept + [False] * (length - kept)
    assert batch.features["genres"].shape == (len(lengths), length, 3)
    assert batch.features["tags"].shape == (len(lengths), length, 2)
    for values in batch.features.values():
        assert values.dtype == torch.int64
        assert not values[~batch.mask].any()
        assert bool((values[batch.mask] > 0).all())


@given(
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=6).filter(any),
    length=st.integers(1, 3),
)
def test_gather_knows_whose_events_they_are(lengths, length):
    log = log_of(lengths)
    users = log.gather(log.indptr[:-1], log.indptr[1:], length).users
    assert users.tolist() == [row + 1 if n else 0 for row, n in enumerate(lengths)]


def test_gather_of_nothing():
    batch = log_of([3]).gather(np.array([0]), np.array([3]), 0)
    assert batch.features[ITEM].shape == (1, 0)


def test_a_multi_valued_feature_needs_several_columns():
    log = log_of([3])
    flat = replace(log, columns={**log.columns, "tags": log.items})
    with pytest.raises(ValueError, match="tags"):
        flat.gather(np.array([0]), np.array([2]), 2)


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=5), data=st.data())
def test_truncated_keeps_the_beginnings_and_is_a_copy(lengths, data):
    log = log_of(lengths)
    kept = [data.draw(st.integers(0, n)) for n in lengths]
    short = log.truncated(log.indptr[:-1] + kept)
    assert short.lengths.tolist() == kept
    for user, count in enumerate(kept):
        begin, new = log.indptr[user], short.indptr[user]
        assert np.array_equal(short.items[new : new + count], log.items[begin : begin + count])
        texts, all_texts = short.written[TEXT], log.written[TEXT]
        assert texts[new : new + count] == all_texts[begin : begin + count]
    for name, column in short.columns.items():
        assert not np.shares_memory(column, log.columns[name])
    assert not np.shares_memory(short.timestamps, log.timestamps)


@pytest.mark.parametrize("stops", [[4, 6], [1, 2]])
def test_truncated_does_not_reach_into_other_users(stops):
    with pytest.raises(ValueError, match="outside"):
        log_of([3, 3]).truncated(np.array(stops))


@given(lengths=st.lists(st.integers(0, 5), max_size=8), data=st.data())
def test_spans_are_what_lies_within(lengths, data):
    bounds = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    starts = bounds[:-1] + [data.draw(st.integers(0, n)) for n in lengths]
    stops = np.array(
        [data.draw(st.integers(a, b)) for a, b in zip(starts, bounds[1:], strict=True)], dtype=int
    )
    inside = {at for a, b in zip(starts, stops, strict=True) for at in range(a, b)}
    found = within(starts.astype(np.int64), stops, int(bounds[-1]))
    assert found.dtype == bool
    assert np.flatnonzero(found).tolist() == sorted(inside)


@given(st.lists(st.booleans(), max_size=30), st.data(), st.integers(1, 7))
def test_kept_events_are_counted_before_each_place(keep, data, size):
    places = sorted(data.draw(st.lists(st.integers(0, len(keep)), max_size=9)))
    with patch.object(events, "_PIECE", size):
        found = kept_before(np.array(keep, dtype=bool), np.array(places, dtype=np.int64))
    assert found.tolist() == [sum(keep[:place]) for place in places]


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=9), world=st.integers(1, 4))
def test_shards_share_no_user_and_together_hold_all(lengths, world):
    log = log_of(lengths)
    shards = [log.shard(rank, world) for rank in range(world)]
    assert np.array_equal(sum(shard.lengths for shard in shards), log.lengths)
    assert all(
        sum(shard.lengths[user] > 0 for shard in shards) <= 1 for user in range(len(lengths))
    )
    for shard in shards:
        # About as many events each: off by one user's at most.
        assert shard.num_events <= log.num_events / world + max(lengths)
        for user in np.flatnonzero(shard.lengths):
            own = slice(shard.indptr[user], shard.indptr[user + 1])
            whole = slice(log.indptr[user], log.indptr[user + 1])
            assert np.array_equal(shard.items[own], log.items[whole])
            assert shard.written[TEXT][own] == log.written[TEXT][whole]
            batch = shard.gather(shard.indptr[[user]], shard.indptr[[user + 1]], 9)
            assert batch.users.tolist() == [user + 1]
        for name, column in shard.columns.items():
            assert not len(column) or np.shares_memory(column, log.columns[name])


@pytest.mark.parametrize(("rank", "world"), [(2, 2), (-1, 2), (0, 0)])
def test_a_shard_that_there_is_not(rank, world):
    with pytest.raises(ValueError, match="none of"):
        log_of([3]).shard(rank, world)
