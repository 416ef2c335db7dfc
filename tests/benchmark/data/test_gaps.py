import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.data.dataset import build_dataset
from benchmark.data.encoding import encode_feature
from benchmark.data.gaps import GAP_FEATURE, gap_column
from benchmark.data.leaks import find_leaks
from benchmark.data.splits import split_last
from benchmark.errors import UserError
from benchmark.schema import number

DAY = 86_400


def test_a_gap_is_the_time_since_the_same_users_event_before():
    seconds = [0, 30, 60, 3599, 5 * 3600, DAY - 1, 6 * DAY, 29 * DAY, 364 * DAY, 365 * DAY]
    times = np.cumsum([1000, *seconds])
    indptr = np.array([0, 0, len(times), len(times), len(times) + 2])
    column = gap_column(np.concatenate([times, [times[-1] + 1, times[-1] + 40]]), indptr)
    # The first event of each user is unknown, whoever stands before; users without events are none.
    assert column.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 2]
    assert len(GAP_FEATURE.labels) == GAP_FEATURE.cardinality == 10


@given(st.lists(st.lists(st.integers(0, 10**9), max_size=6), max_size=6))
def test_gaps_are_the_buckets_of_their_feature(users):
    indptr = np.cumsum([0, *map(len, users)])
    times = np.array([time for user in users for time in sorted(user)], dtype=np.int64)
    seconds = [
        gap for user in users for gap in np.diff(np.array(sorted(user), float), prepend=np.nan)
    ]
    expected = GAP_FEATURE.bucket(np.array(seconds))
    assert gap_column(times, indptr).tolist() == expected.tolist()


def test_gaps_do_not_depend_on_what_comes_later(world, world_split):
    log = world_split.train.events
    assert np.array_equal(log.columns["gap"], gap_column(log.timestamps, log.indptr))
    assert find_leaks(world, world_split) == []
    assert world.events.schema["gap"].derived


def test_gaps_leave_the_fingerprint_as_it_is():
    rows = {"user": ["a"] * 4, "item": ["x", "y", "x", "y"], "timestamp": [1, 1, 90, 5000]}
    catalog = pl.DataFrame({"item": ["x", "y"], "text": ["X", "Y"]})

    def build(gaps):
        return build_dataset(
            "d", pl.DataFrame(rows), catalog, (), source="", licence="", citation="", gaps=gaps
        )

    with_gaps, without = build(True), build(False)
    assert with_gaps.events.columns["gap"].tolist() == [0, 1, 3, 5]
    assert "gap" not in without.events.columns
    assert without.events.schema == with_gaps.events.schema.given
    assert with_gaps.fingerprint == without.fingerprint
    trained = [split_last(each).train.fingerprint for each in (with_gaps, without)]
    assert trained[0] == trained[1]


def test_numbers_are_read_from_a_column():
    price = number("price", (1.0, 10.0))
    codes = encode_feature("d", price, pl.Series([0.5, None, 10.0]))
    assert codes.tolist() == [1, 0, 3]
    assert encode_feature("d", price, pl.Series(["3", "0"])).tolist() == [2, 1]
    with pytest.raises(UserError, match="'cheap' in column 'price' is no number"):
        encode_feature("d", price, pl.Series(["3", "cheap"]))
