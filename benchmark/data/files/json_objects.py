"""JSON objects, one a line, read all at once by polars or, where that fails, each alone."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from benchmark.data.files.broken import BrokenLines, LineError, shown
from benchmark.data.files.numerals import parse_number
from benchmark.data.files.plain_text import LINE_BYTES, TOO_LONG, Block

Schema = Mapping[str, pl.DataType | type[pl.DataType]]

_LIST = pl.List(pl.String)
_LONE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
"""Halves of a character written as escapes: polars reads them as zero characters."""


def read_json_block(block: Block, schema: Schema, sink: BrokenLines) -> pl.DataFrame:
    """The sound rows of a block, in order."""
    frame = _all_at_once(block, schema)
    if frame is not None:
        return sink.sound(frame, range(block.first, block.first + len(frame)))
    rows, numbers = [], []
    for number, line in enumerate(block.data.split(b"\n"), start=block.first):
        if not line.strip():
            continue
        try:
            rows.append(_row(line, schema))
            numbers.append(number)
        except LineError as error:
            sink.add(number, str(error))
    frame = pl.DataFrame(rows, schema=dict(schema), orient="row")
    return sink.sound(frame, numbers)


def _all_at_once(block: Block, schema: Schema) -> pl.DataFrame | None:
    """A block as polars reads it, None where that is not sure to be right."""
    if b"\\u" in block.data and _LONE.search(block.data):
        return None
    try:
        frame = pl.read_ndjson(io.BytesIO(block.data), schema=dict(schema))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    return frame.select(list(schema)) if len(frame) == block.lines else None


def _row(line: bytes, schema: Schema) -> list[Any]:
    if line == TOO_LONG:
        raise LineError(f"is longer than {LINE_BYTES >> 20} MiB")
    try:
        found = json.loads(line.decode(), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise LineError("is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise LineError(f"is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise LineError("is no JSON object")
    return [_value(name, found.get(name), kind) for name, kind in schema.items()]


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _value(name: str, value: Any, kind: pl.DataType | type[pl.DataType]) -> Any:
    """A value as one of its column's type.

    Raises:
        LineError: It cannot be.
    """
    if value is None:
        return None
    if kind == pl.String:
        return _text(value)
    if kind == _LIST:
        values = value if isinstance(value, list) else [value]
        return [None if one is None else _text(one) for one in values]
    # A truth value is no number, though Python counts with it.
    number = None if isinstance(value, bool) else parse_number(str(value), kind)
    if number is None:
        raise LineError(f"{shown(name, value)} is no number")
    return number


def _text(value: Any) -> str:
    if isinstance(value, str):
        text = value
    elif isinstance(value, float):  # an id written as 2.0 is that written as 2, as in polars
        text = np.format_float_positional(value, trim="-")
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", errors="replace").decode()
