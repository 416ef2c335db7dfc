"""Times of the user's own file: seconds, milliseconds, or dates as ISO 8601 writes them."""

from __future__ import annotations

import polars as pl

from benchmark.data.files.broken import Check
from benchmark.data.readers.own_columns import TimeColumn
from benchmark.data.readers.sieve import LATEST, MILLISECONDS, SECONDS
from benchmark.errors import UserError

_ISO = (
    r"^\s*(?<date>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?<minute>\d{2}:\d{2})(?::(?<second>\d{2})(?:[.,]\d+)?)?"
    r"\s*(?<zone>[Zz]|UTC|[+-]\d{2}(?::?\d{2})?)?)?\s*$"
)
_YEAR = 365 * 86_400
_DAYS = (19_000_101, 21_001_231)
"""Between these a number is more likely a day, 20210304, than a second of the year 1970."""


def whole_seconds(value: pl.Expr, unit: str | None) -> pl.Expr:
    """Whole seconds since 1970 of times written as text; null where one is no time up to 2099.

    A date is its first second; a time without a zone is taken for UTC.

    Args:
        value: Text.
        unit: `s`, `ms` or `iso`; None = a number too large for seconds is milliseconds. Dates are
            understood whatever the unit, because Parquet files have columns of dates.
    """
    iso = value.str.extract_groups(_ISO)
    zone = iso.struct.field("zone").fill_null("Z").str.replace("(?i)^(?:Z|UTC)$", "+00:00")
    written = pl.concat_str(
        iso.struct.field("date"),
        pl.lit("T"),
        iso.struct.field("minute").fill_null("00:00"),
        pl.lit(":"),
        iso.struct.field("second").fill_null("00"),
        zone,
    )
    dated = written.str.strptime(pl.Datetime("us", "UTC"), "%Y-%m-%dT%H:%M:%S%#z", strict=False)
    dates = dated.dt.epoch("s")
    exact = value.str.strip_chars().cast(pl.Int64, strict=False)
    rough = value.str.strip_chars().cast(pl.Float64, strict=False)
    rough = pl.when(rough.abs() < 2.0**62).then(rough).floor().cast(pl.Int64)
    numbers = pl.coalesce(exact, rough)
    per_second = {"s": pl.lit(SECONDS), "ms": pl.lit(MILLISECONDS)}.get(
        unit or "", pl.when(numbers > LATEST).then(MILLISECONDS).otherwise(SECONDS)
    )
    seconds = dates if unit == "iso" else pl.coalesce(dates, numbers // per_second)
    return pl.when(seconds.is_between(0, LATEST)).then(seconds)


def is_a_time(time: TimeColumn) -> Check:
    """The check that a value is a time."""
    unit = {"s": " in seconds", "ms": " in milliseconds", "iso": " in ISO 8601"}.get(
        time.unit or "", ""
    )
    return Check(
        time.column,
        lambda value: whole_seconds(value, time.unit).is_not_null(),
        f"is no time of the years 1970 to 2099{unit}",
    )


def times(column: pl.Series, time: TimeColumn) -> tuple[pl.Series, tuple[str, ...]]:
    """The times of events, and what a reader should know of how they were understood.

    Args:
        column: Text, every one a time.
        time: What `columns.yaml` says of it.

    Raises:
        UserError: The numbers look like days, as in 20210304.
    """
    frame = column.to_frame(time.column)
    seconds = frame.select(whole_seconds(pl.col(time.column), time.unit)).to_series()
    if time.unit == "ms" and seconds.max() < _YEAR:  # type: ignore[operator]
        raise UserError(
            f"column {time.column!r} (timestamp): in milliseconds, {column[0]} and all others are"
            " of the year 1970: say `unit: s`"
        )
    if time.unit is not None:
        return seconds, ()
    numbers = column.str.strip_chars().cast(pl.Float64, strict=False).drop_nulls()
    if numbers.is_empty():
        return seconds, ()
    if numbers.is_between(*_DAYS).all():
        raise UserError(
            f"column {time.column!r} (timestamp) looks like days, {column[0]}: write them as"
            " 2021-03-04, or say `unit: s` if they are seconds since 1970"
        )
    late = int((numbers > LATEST).sum())
    if not late:
        return seconds, ()
    which = "times" if late == len(column) else f"{late:,} of {len(column):,} times"
    return seconds, (f"{which} were taken for milliseconds since 1970",)
