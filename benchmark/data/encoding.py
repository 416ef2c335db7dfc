"""Checks of incoming frames, and values turned into indices that start at 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from benchmark.data.room import room
from benchmark.errors import UserError
from benchmark.schema import Feature, FeatureKind, IdMap
from benchmark.texts import Texts

PIECE = 2**18
"""Rows that are worked on at a time, so that what is in between is small and stays in the cache."""


def check_columns(
    name: str,
    frame_name: str,
    frame: pl.DataFrame | Mapping[str, pl.Series],
    whole: Sequence[str],
    gappy: Sequence[str],
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
    missing = [column for column in (*whole, *gappy) if column not in frame]
    if missing:
        raise UserError(f"data set {name!r}: the {frame_name} lack the column {missing[0]!r}")
    if not len(frame[whole[0]]):
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


def number_in_order(column: pl.Series) -> tuple[IdMap, np.ndarray]:
    """Numbers values in the order in which they first appear.

    Args:
        column: Values of any type, none missing. Whole numbers stay numbers on the way.

    Returns:
        The values as external ids, and `int32` indices from 1, `[rows]`.
    """
    distinct = column.unique(maintain_order=True)
    codes = _spread(column, distinct, np.arange(1, len(distinct) + 1, dtype=np.int32))
    return IdMap(texts_of(distinct), checked=True), codes


def encode_ids(name: str, column_name: str, column: pl.Series, ids: pl.Series) -> np.ndarray:
    """As `encode`, where the labels may be numbers and are many: the ids of a catalogue.

    Args:
        name: The data set, for the error.
        column_name: The column, for the error.
        column: The values.
        ids: All values there can be, each once.
    """
    if any(not side.dtype.is_integer() or side.dtype == pl.UInt64 for side in (column, ids)):
        return encode(name, column_name, column, ids.cast(pl.String))
    distinct = column.unique(maintain_order=True).drop_nulls().cast(pl.Int64)
    places = np.arange(1, len(ids) + 1, dtype=np.int32)
    codes = _look_up(distinct, ids.cast(pl.Int64), places)
    _refuse_strangers(name, column_name, distinct, codes)
    return _spread(column, distinct, codes.to_numpy())


def encode(
    name: str, column_name: str, column: pl.Series, labels: Sequence[str] | pl.Series
) -> np.ndarray:
    """Values as indices: 1 for the first label, 0 for null.

    Every different value is compared once, so that a column of numbers is not written out.

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
    if column.dtype == pl.Categorical:
        column = column.cast(pl.String)
    distinct = column.unique(maintain_order=True).drop_nulls()
    known = labels if isinstance(labels, pl.Series) else pl.Series(labels, dtype=pl.String)
    places = np.arange(1, len(known) + 1, dtype=np.int32)
    codes = _look_up(distinct.cast(pl.String), known, places)
    _refuse_strangers(name, column_name, distinct, codes)
    if column.dtype == pl.Enum:  # numbers already, though other ones
        column, distinct = column.to_physical(), distinct.to_physical()
    return _spread(column, distinct, codes.to_numpy())


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


def whole_numbers(column: pl.Series) -> np.ndarray:
    """Whole numbers, none missing, as an array of their own: `int64`, `[rows]`."""
    values = room().empty(len(column), np.int64)  # one that is large has large pages too
    for rows in pieces(len(column)):
        values[rows] = column[rows].cast(pl.Int64).to_numpy()
    return values


def count(codes: np.ndarray, highest: int, keep: np.ndarray | None = None) -> np.ndarray:
    """How often each index from 0 to the highest is there; as `np.bincount`, with less memory.

    Args:
        codes: `[rows]`.
        highest: The highest index there can be.
        keep: `BoolArray[rows]`, which rows count; None = all.
    """
    total = np.zeros(highest + 1, dtype=np.int64)
    for rows in pieces(len(codes), max(PIECE, 4 * highest)):
        some = codes[rows] if keep is None else codes[rows][keep[rows]]
        total += np.bincount(some, minlength=highest + 1)
    return total


def pieces(rows: int, size: int = 0, overlap: int = 0) -> Iterator[slice]:
    """Neighbouring rows that are worked on at a time.

    Args:
        rows: Rows in all.
        size: Rows of a piece; `PIECE` where nothing is said.
        overlap: Rows that are the next piece's too.
    """
    size = size or PIECE
    for begin in range(0, rows, size):
        yield slice(begin, min(begin + size + overlap, rows))


def encode_feature(name: str, feature: Feature, column: pl.Series) -> np.ndarray:
    """Values of one feature as indices, `[rows]` or `[rows, V]`; 0 where unknown."""
    if feature.kind is FeatureKind.NUMBER:
        return feature.bucket(numbers(name, feature.name, column))
    if feature.kind is not FeatureKind.MULTI:
        return encode(name, feature.name, column, feature.labels)
    frame = pl.DataFrame({"row": np.arange(len(column)), "value": column})
    frame = frame.explode("value").filter(pl.col("value").is_not_null())
    frame = frame.with_columns(nth=pl.int_range(pl.len()).over("row"))
    codes = np.zeros((len(column), feature.width), dtype=np.int32)
    if len(frame) and frame["nth"].cast(pl.Int64).to_numpy().max() >= feature.width:
        raise UserError(
            f"data set {name!r}: {feature.name!r} has more than {feature.width} values in a row"
        )
    values = encode(name, feature.name, frame["value"], feature.labels)
    codes[frame["row"].to_numpy(), frame["nth"].to_numpy()] = values
    return codes


def texts_of(column: pl.Series) -> Texts:
    """A column as texts; "" where one is missing. The bytes are copied once."""
    array = column.cast(pl.String).fill_null("").rechunk().to_arrow()
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64) if offsets else np.zeros(1, dtype=np.int64)
    bounds = bounds[array.offset : array.offset + len(array) + 1]
    content = np.frombuffer(data, dtype=np.uint8) if data else np.empty(0, dtype=np.uint8)
    return Texts(bounds, content)


def _look_up(values: pl.Series, known: pl.Series, places: np.ndarray) -> pl.Series:
    """The place of each value among the known ones, null where it is not."""
    return values.replace_strict(known, pl.Series(places), default=None, return_dtype=pl.Int32)


def _refuse_strangers(name: str, column_name: str, values: pl.Series, codes: pl.Series) -> None:
    strange = values.filter(codes.is_null()).cast(pl.String)
    if len(strange):
        raise UserError(
            f"data set {name!r}: unknown value {strange[0]!r} in column {column_name!r}"
        )


def _spread(column: pl.Series, distinct: pl.Series, codes: np.ndarray) -> np.ndarray:
    """The code of every row, given those of the different values; 0 for null."""
    if column.dtype.is_integer() and not column.null_count() and len(distinct):
        low, high = int(distinct.min()), int(distinct.max())  # type: ignore[arg-type]
        if high < 2**63 and high - low <= max(PIECE, len(column)):
            return _spread_by_table(column, distinct, codes, low, high)
    old, new = distinct.cast(column.dtype), pl.Series(codes)
    spread = room().empty(len(column), np.int32)
    # Each piece hashes the different values again, so that it must have many more rows than those.
    for rows in pieces(len(column), max(PIECE, 16 * len(distinct))):
        piece = column[rows].replace_strict(old, new, default=None, return_dtype=pl.Int32)
        spread[rows] = piece.fill_null(0).to_numpy()
    return spread


def _spread_by_table(
    column: pl.Series, distinct: pl.Series, codes: np.ndarray, low: int, high: int
) -> np.ndarray:
    """Whole numbers that lie close together are places in a table: no hashing."""
    table = np.zeros(high - low + 1, dtype=np.int32)
    table[distinct.to_numpy().astype(np.int64) - low] = codes
    spread = room().empty(len(column), np.int32)
    for rows in pieces(len(column)):
        places = column[rows].to_numpy().astype(np.int64)
        places -= low
        # None is out of bounds; without `clip` numpy would write into a copy first.
        np.take(table, places, out=spread[rows], mode="clip")
    return spread
