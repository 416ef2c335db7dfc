"""Numbers written as text, read alike by polars and one at a time."""

from __future__ import annotations

import math
import re

import polars as pl

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)
_EXACT = float(1 << 53)
"""Below it a float stands for one whole number alone."""


def parse_number(text: str, kind: pl.DataType | type[pl.DataType]) -> int | float | None:
    """A number, None where the text is none or the type cannot hold it.

    Args:
        text: Digits with sign, fraction and exponent as one likes; whole numbers also as `5.0`.
        kind: A numeric polars type.
    """
    text = text.strip(" \t")
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    if math.isinf(number):
        return None
    if _is_float(kind):
        return number if kind != pl.Float32 or abs(number) < 3e38 else None
    if _WHOLE.fullmatch(text):
        whole = int(text)
    elif number.is_integer() and abs(number) < _EXACT:
        whole = int(number)
    else:
        return None
    least, most = _range(kind)
    return whole if least <= whole <= most else None


def parsed(text: pl.Expr, kind: pl.DataType | type[pl.DataType]) -> pl.Expr:
    """The same for a column; null where `parse_number` says None, or might."""
    text = text.str.strip_chars(" \t")
    number = text.cast(pl.Float64, strict=False)
    number = pl.when(number.is_finite()).then(number)
    if _is_float(kind):
        return pl.when(number.abs() < 3e38).then(number).cast(kind)
    as_float = pl.when((number == number.floor()) & (number.abs() < _EXACT)).then(number)
    whole = pl.coalesce(text.cast(pl.Int64, strict=False), as_float.cast(pl.Int64, strict=False))
    return whole.cast(kind, strict=False)


def _is_float(kind: pl.DataType | type[pl.DataType]) -> bool:
    return kind in (pl.Float32, pl.Float64)


def _range(kind: pl.DataType | type[pl.DataType]) -> tuple[int, int]:
    """The least and the most that a type of whole numbers holds."""
    return _RANGES[kind if isinstance(kind, type) else type(kind)]


_RANGES: dict[type[pl.DataType], tuple[int, int]] = {
    pl.Int32: (-(1 << 31), (1 << 31) - 1),
    pl.Int64: (-(1 << 63), (1 << 63) - 1),
    pl.UInt32: (0, (1 << 32) - 1),
}
