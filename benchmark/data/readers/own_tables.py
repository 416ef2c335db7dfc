"""The user's own file as a table: CSV, Parquet or JSON lines, the mapped columns alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl

from benchmark.data.files.archives import Opened, members, open_member
from benchmark.data.files.broken import BrokenLines, Check
from benchmark.data.files.lines import read_delimited, read_json_lines
from benchmark.data.readers.own_columns import Columns
from benchmark.errors import UserError, unknown
from benchmark.system.parquet_files import PARQUET_DAMAGE, check_parquet

_KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "json",
    ".ndjson": "json",
}
_PARQUET = b"PAR1"


def find_table(source: Path) -> Path:
    """The file of interactions: the source, or the only one that a folder or an archive holds.

    Raises:
        UserError: There is none, or there are several.
    """
    if not source.is_dir():
        return source
    tables = [name for name in members(source) if _suffix(name) in _KINDS]
    if len(tables) != 1:
        there = ", ".join(tables[:5]) or "none"
        raise UserError(
            f"{source}: one file of interactions ({', '.join(_KINDS)}) is expected, there is"
            f" {there}: name the file itself"
        )
    return source / tables[0]


def read_table(
    path: Path, columns: Columns, checks: Sequence[Check], broken: float
) -> tuple[str, pl.DataFrame, dict[str, int]]:
    """Reads the mapped columns.

    Args:
        path: The file, or an archive of it; see `find_table`.
        columns: What they mean.
        checks: What values must be.
        broken: Share of the rows that may be broken.

    Returns:
        The file as errors call it; the columns, as strings, lists of strings where a column has
        several values, and whatever a Parquet file has for the time; what was skipped.

    Raises:
        UserError: The file cannot be read, lacks a column, or is too broken.
    """
    if not path.exists():
        raise UserError(f"{path} is not there")
    if _starts_with(path, _PARQUET):
        return _read_parquet(path, columns, checks, broken)
    names = [f"*{suffix}" for suffix in _KINDS]
    with open_member(path, *names) as opened:
        kind = _KINDS[_suffix(opened.name)]
        if kind == "parquet":
            raise UserError(f"{opened.name} is no Parquet file: it begins otherwise")
        read = _read_csv if kind == "csv" else _read_json
        frame, counts = read(opened, columns, checks, broken)
        return opened.name, frame.with_columns(_split(columns)), counts


def _split(columns: Columns) -> list[pl.Expr]:
    """Lists of several values, of which one piece of text may still hold several."""
    return [
        pl.col(name).list.eval(pl.element().str.split(separator).explode())
        for name, separator in columns.several.items()
    ]


def _suffix(name: str) -> str:
    return PurePosixPath(name.lower().removesuffix(".gz")).suffix


def _starts_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def check_there(file: str, columns: Columns, there: Sequence[str]) -> None:
    """Checks that a file has every mapped column.

    Raises:
        UserError: It lacks one; says what it is mapped to, and what there is.
    """
    for name in columns.wanted:
        if name not in there:
            raise UserError(
                f"{file} has no column {name!r}, which is mapped to"
                f" {columns.place(name)!r}; {unknown('column', name, there)}"
            )


def _read_csv(
    opened: Opened, columns: Columns, checks: Sequence[Check], broken: float
) -> tuple[pl.DataFrame, dict[str, int]]:
    separator = columns.separator or ("\t" if _suffix(opened.name) == ".tsv" else ",")
    header = _first_line(opened, columns.encoding).split(separator)
    names = [name.strip().strip('"') for name in header]
    same = {name.casefold(): name for name in columns.wanted}
    if any(name.casefold() in same for name in names):  # else the header itself is missing
        check_there(opened.name, columns, [same.get(name.casefold(), name) for name in names])
    frame, counts = read_delimited(
        opened,
        separator,
        {name: pl.String() for name in columns.wanted},
        header=True,
        encoding=columns.encoding,
        broken=broken,
        checks=checks,
    )
    return frame.with_columns(pl.concat_list(name) for name in columns.several), counts


def _read_json(
    opened: Opened, columns: Columns, checks: Sequence[Check], broken: float
) -> tuple[pl.DataFrame, dict[str, int]]:
    schema: dict[str, pl.DataType] = {
        name: pl.List(pl.String()) if name in columns.several else pl.String()
        for name in columns.wanted
    }
    frame, counts = read_json_lines(opened, schema, broken=broken, checks=checks)
    # A key may be absent where it has no value, but not in every line.
    for name in columns.wanted:
        if frame[name].null_count() == len(frame):
            check_there(opened.name, columns, _first_keys(opened))
    return frame, counts


def _first_line(opened: Opened, encoding: str) -> str:
    """The first line that is not blank, "" where the encoding is unknown or another."""
    with opened.path.open("rb") as file:
        line = next((line for line in file if line.strip()), b"")
    try:
        return line.decode(encoding).strip().removeprefix("\ufeff")
    except (LookupError, UnicodeError):
        return ""


def _first_keys(opened: Opened) -> list[str]:
    """The keys of the first line that has any."""
    with opened.path.open("rb") as file:
        for line in file:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and record:
                return list(record)
    return []


def _read_parquet(
    path: Path, columns: Columns, checks: Sequence[Check], broken: float
) -> tuple[str, pl.DataFrame, dict[str, int]]:
    try:
        check_parquet(path, columns.wanted)
        check_there(path.name, columns, list(pl.read_parquet_schema(path)))
        frame = pl.read_parquet(path, columns=columns.wanted)
    except (OSError, *PARQUET_DAMAGE) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: the Parquet file is truncated or damaged ({reason})") from None
    frame = frame.select(_as_text(name, dtype, columns) for name, dtype in frame.schema.items())
    damage = BrokenLines(path.name, path, broken, checks)
    frame = damage.sound(frame, np.arange(1, len(frame) + 1))
    return path.name, frame, damage.finish(len(frame))


def _as_text(name: str, dtype: pl.DataType, columns: Columns) -> pl.Expr:
    """A column of a Parquet file as a text file would have it."""
    value = pl.col(name)
    several = name in columns.several
    if isinstance(dtype, pl.Array):
        dtype, value = pl.List(dtype.inner), value.arr.to_list()
    if isinstance(dtype, pl.List) and several and not dtype.inner.is_nested():
        return value.cast(pl.List(pl.String))
    if dtype.is_nested():
        raise UserError(
            f"column {name!r} ({columns.place(name)}) holds {dtype}: only a feature of kind multi"
            " can have lists, and nothing can have more"
        )
    if dtype in (pl.Date, pl.Datetime):
        value = value.cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S")
    elif dtype == pl.Binary:
        value = value.cast(pl.String, strict=False)
    else:
        value = value.cast(pl.String)
    return value.str.split(columns.several[name]) if several else value
