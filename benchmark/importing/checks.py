"""Checks of columns of answers. Errors name the first offender and say how many there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from benchmark.display.counting import counted
from benchmark.errors import UserError

USER = "user"
_ROUNDING = 1e-6
"""How far above 0 a log-probability may come to lie by the rounding of single precision."""


def in_order(frame: pl.DataFrame, users: Sequence[str]) -> pl.DataFrame:
    """The rows of all users that are asked, in the order in which they are.

    Args:
        frame: Has the column `user`.
        users: External ids.

    Raises:
        UserError: A user is missing, stands twice or is not asked.
    """
    frame = frame.with_columns(user=names(frame, USER))
    own, asked = frame[USER], pl.Series(USER, list(users), dtype=pl.String)
    _refuse(own.filter(own.is_duplicated()).unique(maintain_order=True), "more than one row")
    _refuse(own.filter(~own.is_in(asked.implode())), "not asked")
    _refuse(asked.filter(~asked.is_in(own.implode())), "asked, but without a row")
    return asked.to_frame().join(frame, on=USER, how="left", maintain_order="left")


def names(frame: pl.DataFrame, column: str) -> pl.Series:
    """A column of ids or texts, as texts.

    Raises:
        UserError: There is none, it holds something else, or a null.
    """
    values = _column(frame, column)
    if not _is_name(values.dtype):
        raise UserError(f"column {column!r} holds {values.dtype}: text is needed")
    _refuse_rows(frame, values.is_null(), f"column {column!r} holds null")
    return values.cast(pl.String)


def log_probs(frame: pl.DataFrame, column: str) -> np.ndarray:
    """A column of log-probabilities, `[n]`; NaN everywhere where there is none.

    Raises:
        UserError: It holds something else.
    """
    if column not in frame.columns:
        return np.full(len(frame), np.nan)
    values = frame[column]
    if not values.dtype.is_float():
        raise UserError(f"column {column!r} holds {values.dtype}: floating-point nats are needed")
    _refuse_rows(frame, values.is_null(), f"column {column!r} holds null")
    _refuse_rows(frame, ~values.is_finite(), f"column {column!r} holds what is no finite number")
    above = f"column {column!r} holds a log-probability above 0"
    _refuse_rows(frame, values > _ROUNDING, above)
    return values.cast(pl.Float64).to_numpy()


def ranked(frame: pl.DataFrame, column: str, known: Sequence[str], kind: str) -> np.ndarray:
    """Lists of names as places from 1, `[n, K]`, best first; 0 behind the end of a list.

    Args:
        frame: Has the column `user` and the lists.
        column: The lists.
        known: All names there are, each once.
        kind: What they name, for errors.

    Raises:
        UserError: The column holds something else, a null, an unknown name, or one twice in a list.
    """
    lists = _column(frame, column)
    if lists.dtype.base_type() not in (pl.List, pl.Array) or not _is_name(_inner(lists)):
        raise UserError(f"column {column!r} holds {lists.dtype}: lists of text are needed")
    _refuse_rows(frame, lists.is_null(), f"column {column!r} holds null")
    lists = lists.cast(pl.List(pl.String))
    rows = pl.DataFrame({USER: frame[USER], "name": lists}).with_row_index("row")
    rows = rows.filter(pl.col("name").list.len() > 0).explode("name")
    _refuse_rows(rows, rows["name"].is_null(), f"a list of column {column!r} holds null")
    places = np.arange(1, len(known) + 1)
    codes = rows["name"].replace_strict(
        pl.Series(list(known), dtype=pl.String), places, default=0, return_dtype=pl.Int64
    )
    strange = rows.filter(codes == 0)
    if len(strange):
        user, name = strange.select(USER, "name").row(0)
        raise UserError(f"unknown {kind}: {len(strange)} in lists, first {name!r} of user {user!r}")
    twice = pl.DataFrame({"row": rows["row"], "code": codes}).is_duplicated()
    _refuse_rows(rows, twice, f"one {kind} is ranked twice")
    lengths = lists.list.len().to_numpy().astype(np.int64)
    found = np.zeros((len(frame), int(lengths.max(initial=0))), dtype=np.int64)
    found[np.arange(found.shape[1]) < lengths[:, None]] = codes.to_numpy()
    return found


def refuse(frame: pl.DataFrame, wrong: np.ndarray, what: str) -> None:
    """Raises where something is wrong of a user.

    Args:
        frame: Has the column `user`.
        wrong: `BoolArray[n]`.
        what: What is wrong, and what would be right.

    Raises:
        UserError: It is of somebody.
    """
    _refuse_rows(frame, pl.Series(wrong), what)


def _refuse_rows(frame: pl.DataFrame, wrong: pl.Series, what: str) -> None:
    _refuse(frame.filter(wrong)[USER].unique(maintain_order=True), what)


def _refuse(users: pl.Series, what: str) -> None:
    if len(users):
        raise UserError(f"{what}: {counted(len(users), 'user')}, first {users[0]!r}")


def _column(frame: pl.DataFrame, column: str) -> pl.Series:
    if column not in frame.columns:
        has = ", ".join(frame.columns) or "none"
        raise UserError(f"the answers lack the column {column!r}; their columns: {has}")
    return frame[column]


def _is_name(kind: pl.DataType | None) -> bool:
    if kind is None:
        return False
    return kind.is_integer() or kind.base_type() in (pl.String, pl.Categorical, pl.Enum)


def _inner(lists: pl.Series) -> pl.DataType | None:
    inner: pl.DataType | None = getattr(lists.dtype, "inner", None)
    return inner
