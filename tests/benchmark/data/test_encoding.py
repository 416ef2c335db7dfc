from __future__ import annotations

from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data import encoding, ordering
from benchmark.data.encoding import (
    count,
    encode,
    encode_ids,
    number_in_order,
    pieces,
    texts_of,
)
from benchmark.data.gaps import gap_column
from benchmark.data.ordering import (
    ascending_pairs,
    gap_buckets,
    meets_again,
    sort_in_place,
    stand_together,
    time_order,
    user_pieces,
)
from benchmark.errors import UserError

TYPES = st.sampled_from([pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.String, pl.Float32, pl.Float64])
SMALL_PIECES = st.integers(1, 7)


def cut(size: int):
    """Makes everything work on a few rows at a time."""
    return patch.multiple(encoding, PIECE=size), patch.multiple(ordering, PIECE=size)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(-100, 100), min_size=1, max_size=50), TYPES, SMALL_PIECES)
def test_numbered_in_the_order_in_which_they_appear(values, kind, size):
    column = pl.Series(values).cast(kind)
    first, second = cut(size)
    with first, second:
        ids, codes = number_in_order(column)
    words = column.cast(pl.String).to_list()
    expected = list(dict.fromkeys(words))
    assert list(ids.external_ids) == expected
    assert codes.dtype == np.int32
    assert codes.tolist() == [expected.index(word) + 1 for word in words]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_numbers_of_any_size_are_ids(values):
    ids, codes = number_in_order(pl.Series(values))
    assert [int(ids.to_external(code)) for code in codes.tolist()] == values


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.none() | st.integers(0, 9), max_size=40),
    st.permutations(range(10)),
    st.integers(1, 10),
    TYPES,
    SMALL_PIECES,
)
def test_encoded_by_what_they_say(values, labels, known, kind, size):
    column = pl.Series(values, dtype=pl.Int64).cast(kind)
    words = column.cast(pl.String).to_list()
    names = pl.Series(labels[:known]).cast(kind).cast(pl.String).to_list()
    first, second = cut(size)
    strange = [word for word in words if word is not None and word not in names]
    with first, second:
        if strange:
            with pytest.raises(UserError, match=f"unknown value '{strange[0]}' in column 'c'"):
                encode("x", "c", column, names)
            return
        codes = encode("x", "c", column, names)
    assert codes.dtype == np.int32
    assert codes.tolist() == [0 if word is None else names.index(word) + 1 for word in words]


@pytest.mark.parametrize("kind", [pl.Enum(["b", "a", "c"]), pl.Categorical, pl.String])
def test_words_of_every_type(kind):
    column = pl.Series(["a", None, "b", "a"], dtype=kind)
    assert encode("x", "c", column, ("a", "b")).tolist() == [1, 0, 2, 1]
    assert encode("x", "c", pl.Series([True, False, None]), ("true", "false")).tolist() == [1, 2, 0]


@pytest.mark.parametrize("left", [pl.Int16, pl.Int64, pl.UInt64, pl.String])
@pytest.mark.parametrize("right", [pl.Int16, pl.Int64, pl.UInt64, pl.String])
def test_ids_of_whatever_type_meet_their_item(left, right):
    met, known = pl.Series([30, 7, 7, 1]).cast(left), pl.Series([7, 1, 30, 5]).cast(right)
    assert encode_ids("x", "item", met, known).tolist() == [3, 1, 1, 2]
    with pytest.raises(UserError, match="unknown value '5'"):
        encode_ids("x", "item", pl.Series([5, 6]).cast(left), known[:3])


@settings(deadline=None, max_examples=100)
@given(st.lists(st.none() | st.text(max_size=5), max_size=20), st.integers(0, 5))
def test_texts_of_a_column(texts, begin):
    column = pl.Series(texts, dtype=pl.String)
    assert list(texts_of(column)) == [text or "" for text in texts]
    assert list(texts_of(column[begin:])) == [text or "" for text in texts[begin:]]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 6), max_size=40), SMALL_PIECES)
def test_counted_in_pieces_as_at_once(codes, size):
    first, second = cut(size)
    with first, second:
        assert count(np.array(codes, dtype=np.int32), 6).tolist() == [
            codes.count(code) for code in range(7)
        ]
        assert [row for rows in pieces(len(codes)) for row in codes[rows]] == codes


EVENTS = st.lists(st.tuples(st.integers(1, 5), st.integers(-(2**40), 2**40)), max_size=60)


def rows_of(events, coarse):
    """Coarse times make ties; a span of many bits takes the other way of sorting."""
    rows = [(user, time // coarse if coarse < 2**60 else time * 2**20) for user, time in events]
    users = np.array([user for user, _ in rows], dtype=np.int32)
    return rows, users, np.array([time for _, time in rows], dtype=np.int64)


COARSE = st.sampled_from([1, 2**38, 2**60])


@settings(deadline=None, max_examples=200)
@given(EVENTS, COARSE, SMALL_PIECES)
def test_the_order_is_that_of_a_stable_sort(events, coarse, size):
    rows, users, times = rows_of(events, coarse)
    first, second = cut(size)
    with first, second:
        order = time_order(users, times)
        assert stand_together(users) == (users.tolist() == sorted(users.tolist()))
    assert order.tolist() == sorted(range(len(rows)), key=rows.__getitem__)


@settings(deadline=None, max_examples=200)
@given(EVENTS, COARSE, SMALL_PIECES)
def test_users_who_stand_together_are_sorted_where_they_are(events, coarse, size):
    rows, users, times = rows_of(sorted(events, key=lambda event: event[0]), coarse)
    places, wide = np.arange(len(rows)), np.arange(2 * len(rows)).reshape(-1, 2)
    order = sorted(range(len(rows)), key=rows.__getitem__)
    expected = times[order].tolist()
    first, second = cut(size)
    with first, second:
        sort_in_place(users, times, [places, wide])
    assert places.tolist() == order
    assert wide[:, 0].tolist() == [2 * place for place in order]
    assert times.tolist() == expected


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=12), SMALL_PIECES)
def test_pairs_that_ascend_never_come_twice(pairs, size):
    users, items = (np.array([pair[side] for pair in pairs], dtype=np.int32) for side in (0, 1))
    first, second = cut(size)
    with first, second:
        assert ascending_pairs(users, items) == (pairs == sorted(set(pairs)))


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 10**8)), max_size=9), max_size=9),
    SMALL_PIECES,
)
def test_users_taken_a_few_at_a_time_are_as_all_at_once(users, size):
    indptr = np.cumsum([0, *map(len, users)])
    items = np.array([item for user in users for item, _ in user], dtype=np.int32)
    times = np.array([t for user in users for t in sorted(t for _, t in user)], dtype=np.int64)
    first, second = cut(size)
    with first, second:
        cuts = list(user_pieces(indptr))
        buckets = gap_buckets(times, indptr)
        again = meets_again(items, indptr)
    assert [user for some in cuts for user in users[some]] == users
    assert all(sum(map(len, users[some])) <= max(size, len(users[some][0])) for some in cuts)
    assert buckets.dtype == np.int32
    assert buckets.tolist() == gap_column(times, indptr).tolist()
    assert again == any(len({item for item, _ in user}) < len(user) for user in users)
