from datetime import datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data.readers.own_columns import TimeColumn
from benchmark.data.readers.own_times import times, whole_seconds
from benchmark.errors import UserError


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        (None, "1393545600", 1393545600),
        (None, "1393545600.9", 1393545600),
        (None, "1.3935456e9", 1393545600),
        (None, "1527878898905", 1527878898),
        (None, "2021-03-04T05:06:07Z", 1614834367),
        (None, " 2021-03-04 05:06:07 ", 1614834367),
        ("iso", "2021-03-04", 1614816000),
        ("iso", "2021-03-04T05:06", 1614834360),
        ("iso", "2021-03-04T05:06:07.999+02:00", 1614827167),
        ("iso", "2021-03-04 05:06:07 UTC", 1614834367),
        ("iso", "2021-03-04T05:06:07-0530", 1614854167),
        ("iso", "2021-03-04T05:06:07+02", 1614827167),
        ("s", "2021-03-04", 1614816000),
        ("ms", "1527878898905", 1527878898),
        ("iso", "1393545600", None),
        ("s", "1527878898905", None),
        ("ms", "-1", None),
        (None, "2021-02-30", None),
        (None, "2021-03-04T25:00:00", None),
        (None, "04/03/2021", None),
        (None, "yesterday", None),
        (None, "nan", None),
        (None, "inf", None),
        (None, "1e300", None),
        (None, "-5", None),
        (None, "", None),
        (None, None, None),
        (None, "9" * 40, None),
    ],
)
def test_times(unit, value, expected):
    frame = pl.DataFrame({"when": [value]}, schema={"when": pl.String})
    assert frame.select(whole_seconds(pl.col("when"), unit)).item() == expected


@given(st.datetimes(datetime(1970, 1, 2), datetime(2099, 12, 30)), st.integers(-14, 14))
@settings(max_examples=60, deadline=None)
def test_iso_times_mean_what_python_means(moment, hours):
    zoned = moment.replace(microsecond=0, tzinfo=timezone(timedelta(hours=hours)))
    frame = pl.DataFrame({"when": [zoned.isoformat()]})
    expected = int(zoned.timestamp())
    found = frame.select(whole_seconds(pl.col("when"), "iso")).item()
    assert found == (expected if expected >= 0 else None)


@given(st.text(max_size=25))
@settings(max_examples=100, deadline=None)
def test_no_text_breaks_the_reading_of_times(text):
    frame = pl.DataFrame({"when": [text.encode(errors="replace").decode()]})
    for unit in (None, "s", "ms", "iso"):
        found = frame.select(whole_seconds(pl.col("when"), unit)).item()
        assert found is None or 0 <= found < 4_102_444_800  # 1970 to 2099


def test_what_was_understood_of_times_is_said():
    column = pl.Series("when", ["1527878898905", "1527878898906"])
    assert times(column, TimeColumn(column="when"))[1] == (
        "times were taken for milliseconds since 1970",
    )
    assert times(column, TimeColumn(column="when", unit="ms"))[1] == ()
    with pytest.raises(UserError, match="looks like days"):
        times(pl.Series("when", ["20210304", "20201231"]), TimeColumn(column="when"))
    with pytest.raises(UserError, match="say `unit: s`"):
        times(pl.Series("when", ["1393545600"]), TimeColumn(column="when", unit="ms"))
