"""Checks of incoming frames, and values turned into indices that start at 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from benchmark.errors import UserError
from benchmark.schema import IdMap


def check_columns(
    name: str, frame_name: str, frame: pl.DataFrame, whole: Sequence[str], gappy: Sequence[str]
) -> None:
    """Checks that a frame has rows and its columns.

    Args:
        name: The data set, for the error.
        frame_name: The frame, for the error.
        frame: What to check.
        whole: Columns that must be there without a missing value.
        gappy: Columns that must be there.

    Raises:
        UserError: Something is missing.
    """
    missing = [column for column in (*whole, *gappy) if column not in frame.columns]
    if missing:
        raise UserError(f"data set {name!r}: the {frame_name} lack the column {missing[0]!r}")
    if frame.is_empty():
        raise UserError(f"data set {name!r}: there are no {frame_name}")
    for column in whole:
        count = frame[column].null_count()
        if count:
            raise UserError(f"data set {name!r}: {count} missing values in column {column!r}")


def external_ids(name: str, column: pl.Series) -> IdMap:
    """The ids of a catalogue, each of which must stand once."""
    ids = column.cast(pl.String)
    twice = ids.filter(ids.is_duplicated())
    if len(twice):
        raise UserError(f"data set {name!r}: item {twice[0]!r} stands twice in the catalogue")
    return IdMap(ids)


def encode(name: str, column_name: str, column: pl.Series, labels: Sequence[str]) -> np.ndarray:
    """Values as indices: 1 for the first label, 0 for null.

    Args:
        name: The data set, for the error.
        column_name: The column, for the error.
        column: The values; compared with the labels as strings.
        labels: All values there can be.

    Returns:
        `int32` indices, `[rows]`.

    Raises:
        UserError: A value is no label.
    """
    values = column.cast(pl.String)
    codes = values.replace_strict(
        pl.Series(labels, dtype=pl.String),
        pl.Series(np.arange(1, len(labels) + 1, dtype=np.int32)),
        default=None,
        return_dtype=pl.Int32,
    )
    strange = values.filter(codes.is_null() & values.is_not_null())
    if len(strange):
        raise UserError(
            f"data set {name!r}: unknown value {strange[0]!r} in column {column_name!r}"
        )
    return codes.fill_null(0).to_numpy()


def numbers(name: str, column_name: str, column: pl.Series) -> np.ndarray:
    """Values as `float64`, `[rows]`; NaN for null.

    Args:
        name: The data set, for the error.
        column_name: The column, for the error.
        column: Numbers, or text that can be read as such.

    Raises:
        UserError: A value is no number.
    """
    values = column.cast(pl.Float64, strict=False)
    strange = column.filter(values.is_null() & column.is_not_null())
    if len(strange):
        raise UserError(f"data set {name!r}: {strange[0]!r} in column {column_name!r} is no number")
    return values.fill_null(float("nan")).to_numpy()
