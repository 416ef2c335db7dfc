"""What is left of a file's rows: those that say who met what and when, each once."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from benchmark.data.files.broken import Check
from benchmark.schema import ITEM

LATEST = 4_102_444_800
"""Seconds since 1970 at the end of the year 2099: whoever is later has given another unit."""
SECONDS, MILLISECONDS = 1, 1000
NOTHING = ("", "null", "None", "nan", "NaN", "<NA>")
"""How files write a value that they do not have."""
STARS = ("1", "2", "3", "4", "5")


def external_id(value: pl.Expr) -> pl.Expr:
    """An id as a string, null where there is none."""
    name = value.cast(pl.String).str.strip_chars()
    return pl.when(name.is_in(NOTHING).not_()).then(name)


def first_id(keys: Sequence[str]) -> pl.Expr:
    """The id under the first of several keys that has one."""
    return pl.coalesce(external_id(pl.col(key)) for key in keys)


def has_id(keys: Sequence[str]) -> Check:
    """The check that a line has an id under one of several keys."""
    return Check(keys[0], lambda _: first_id(keys).is_not_null(), "is missing")


def is_time(value: pl.Expr, per_second: int) -> pl.Expr:
    """Whether a whole number is a time of 1970 to 2099.

    Args:
        value: The number.
        per_second: Units a second.
    """
    return value.is_between(0, LATEST * per_second)


def has_time(keys: Sequence[str], per_second: int) -> Check:
    """The check that a line has a time of 1970 to 2099 under one of several keys."""
    unit = {SECONDS: "seconds", MILLISECONDS: "milliseconds"}[per_second]
    return Check(
        keys[0],
        lambda _: is_time(pl.coalesce(keys), per_second),
        f"is no time of the years 1970 to 2099 in {unit}",
    )


def distinct_rows(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Each row once, in file order.

    Who says the same words of the same item at the same time has not met it twice: crawls hold
    such rows several times, and what is asked for would stand in the history.
    """
    once = rows.unique(maintain_order=True)
    dropped = len(rows) - len(once)
    return once, {"exact duplicates": dropped} if dropped else {}


def stars(column: pl.Series) -> tuple[pl.Series, dict[str, int]]:
    """Ratings "1" to "5"; null where a value is none of them.

    Args:
        column: Numbers, null where unknown.
    """
    known = column.is_in([1.0, 2.0, 3.0, 4.0, 5.0]).fill_null(False)
    labels = column.set(~known, None).cast(pl.Int64).cast(pl.String)
    unknown = len(column) - int(known.sum())
    return labels, {"ratings that are none of 1 to 5": unknown} if unknown else {}


def first_known(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """One row an item: of each column the first value that is known.

    Args:
        rows: Column `item` and others, several rows an item maybe; a list without anything in it
            is taken for a value that is not known.

    Returns:
        The rows in the order in which items are first named, and how many were repeated.
    """
    lists = [name for name, dtype in rows.schema.items() if isinstance(dtype, pl.List)]
    known = rows.with_columns(
        pl.when(pl.col(name).list.drop_nulls().list.len() > 0).then(pl.col(name)).alias(name)
        for name in lists
    )
    once = known.group_by(ITEM, maintain_order=True).agg(pl.all().drop_nulls().first())
    repeated = len(rows) - len(once)
    return once, {"repeated rows of items": repeated} if repeated else {}
