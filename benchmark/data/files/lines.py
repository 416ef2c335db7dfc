"""Text of one record a line, JSON or delimited, in which some lines may be broken."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

import polars as pl

from benchmark.data.files import delimited
from benchmark.data.files.archives import Opened
from benchmark.data.files.broken import BrokenLines, Check, quoted
from benchmark.data.files.delimited import Layout
from benchmark.data.files.json_objects import read_json_block
from benchmark.data.files.plain_text import Block, TextFile, blocks, text_file
from benchmark.data.parallel import ahead
from benchmark.data.room import NO_ROOM, Pile, room
from benchmark.errors import UserError

__all__ = ["Check", "read_delimited", "read_json_lines"]

Schema = Mapping[str, pl.DataType | type[pl.DataType]]


def read_json_lines(
    opened: Opened,
    schema: Schema,
    *,
    broken: float,
    checks: Sequence[Check] = (),
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Reads one JSON object a line; keys that are not asked for are never kept.

    A line is broken where it is no JSON object, where a value cannot be of its column's type, or
    where a check fails. It is reported with file and line number, counted, and skipped.
    `Int64` takes whole numbers, also written as `5.0` or as text; `Float64` numbers, also as
    text; `String` anything, what is no text as it stands; `List(String)` lists of such, and one
    alone.

    Args:
        opened: The file.
        schema: Keys and their types: `String`, `Int64`, `Float64`, `List(String)`.
        broken: Share of the lines that may be broken.
        checks: What values must also be, e.g. that they are there:
            `Check("user_id", pl.Expr.is_not_null, "is missing")`.

    Returns:
        The columns of `schema`, in file order, null where a key is absent or null; and counts by
        reason (`broken lines`), empty where there is nothing to say.

    Raises:
        UserError: The file is empty, or too many lines are broken: the first ones are named.
        RunError: There is no room for a copy in UTF-8.
    """
    with _reading(opened, "utf-8", broken, checks) as (file, sink):
        rows = room().pile()
        rows.add(pl.DataFrame(schema=dict(schema)))
        for block in blocks(file):
            rows.add(read_json_block(block, schema, sink))
        return _together(rows, sink)


def read_delimited(
    opened: Opened,
    separator: str,
    columns: Schema,
    *,
    header: bool,
    encoding: str = "utf-8",
    broken: float,
    overflow: str = "",
    multiline: bool = True,
    checks: Sequence[Check] = (),
    each: Callable[[pl.DataFrame], pl.DataFrame] = lambda frame: frame,
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Reads separated values.

    A line is broken where it has too few or too many fields, where a number is none, or where a
    check fails. It is reported with file and line number, counted, and skipped. Empty text is
    null; numbers must be there and finite. Whole numbers may be written as `5.0`. Blank lines,
    a byte order mark and any kind of line break are no matter.

    Args:
        opened: The file.
        separator: One character, and then `"` quotes; or several, and then nothing does.
        columns: Names and types: `String`, `UInt32`, `Int32`, `Int64`, `Float32`, `Float64`.
            Without a header they are all that a line has, in this order. With one they are looked
            up by name (letter case ignored), in any order, and others are left out.
        header: Whether the first line names the columns.
        encoding: Of the file where it is not UTF-8, and not UTF-16 with a byte order mark.
        broken: Share of the lines that may be broken.
        overflow: A text column that may hold unquoted separators: it takes the fields a line has
            too many. "" = none may.
        multiline: Whether a quoted field may hold line breaks.
        checks: What values must also be.
        each: What becomes of sound rows, some at a time; it neither drops nor adds one. Of a large
            file no more is then kept than what is made of it.

    Returns:
        What `each` makes of the columns in the order given, rows in file order; and counts by
        reason (`broken lines` and those of `benchmark.data.files.delimited`), empty where there is
        nothing to say.

    Raises:
        UserError: The file is empty, lacks a column, the encoding is unknown, or too many lines
            are broken: the first ones are named.
        RunError: There is no room for a copy in UTF-8.
    """
    if not separator or set(separator) & {delimited.QUOTE, "\n", "\r"}:
        raise UserError(f"{opened.name}: {separator!r} cannot separate fields")
    layout = None if header else Layout(separator, tuple(columns), columns, overflow, multiline)

    def parsed(found: Iterator[Block]) -> Iterator[tuple[Block, Layout, pl.DataFrame | None]]:
        known = layout
        for block in found:
            if known is None:
                first = _header(block)
                if first is None:
                    continue
                line, block = first
                fields = _named_fields(opened.name, line, separator, columns)
                known = Layout(separator, fields, columns, overflow, multiline)
            if block.data:
                yield block, known, delimited.all_at_once(block, known)

    rows = room().pile()
    rows.add(each(pl.DataFrame(schema=dict(columns))))
    with (
        _reading(opened, encoding, broken, checks) as (file, sink),
        # One block is read, the one before it parsed and the one before that judged, all at once.
        # Closed here whatever happens: left to the garbage collector, which may come while the
        # executors' common lock is held, the wait for one thread of theirs might never end.
        closing(ahead(blocks(file, quoted=multiline and len(separator) == 1))) as found,
        closing(ahead(parsed(found))) as ready,
    ):
        for block, known, frame in ready:
            rows.add(each(delimited.sound_rows(block, file, known, frame, sink)))
        return _together(rows, sink)


@contextmanager
def _reading(
    opened: Opened, encoding: str, broken: float, checks: Sequence[Check]
) -> Iterator[tuple[TextFile, BrokenLines]]:
    try:
        with text_file(opened, encoding) as file:
            yield file, BrokenLines(opened.name, file.path, broken, checks)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise UserError(f"{opened.name} cannot be read: {error.strerror or error}") from error


def _together(rows: Pile, sink: BrokenLines) -> tuple[pl.DataFrame, dict[str, int]]:
    frame = rows.frame()
    return frame, sink.finish(len(frame))


def _header(block: Block) -> tuple[str, Block] | None:
    """The first line that is not blank, and the block behind it; None where all are."""
    found = re.search(rb"\S", block.data)
    if found is None:
        return None
    begin = block.data.rfind(b"\n", 0, found.start()) + 1
    end = block.data.find(b"\n", begin)
    end = len(block.data) if end < 0 else end
    line = block.data[begin:end].decode("utf-8", errors="replace")
    return line, Block(block.data[end + 1 :], block.first + block.data.count(b"\n", 0, end + 1))


def _named_fields(name: str, line: str, separator: str, columns: Schema) -> tuple[str, ...]:
    """Names of a line's fields as a header gives them: the columns' own, others as fits.

    Raises:
        UserError: A column is not named, or twice.
    """
    try:
        parts = next(csv.reader([line], delimiter=separator)) if len(separator) == 1 else None
    except (csv.Error, StopIteration):
        parts = None
    parts = line.split(separator) if parts is None else parts
    given = [part.strip().removeprefix("\ufeff").casefold() for part in parts]
    fields = [f"\0{number}" for number in range(len(given))]
    for column in columns:
        places = [number for number, part in enumerate(given) if part == column.casefold()]
        if len(places) != 1:
            wrong = "names it twice" if places else "is the header missing?"
            raise UserError(
                f"{name}: the first line must name the columns {', '.join(columns)}, and is"
                f" {quoted(line)}: {column!r} ({wrong})"
            )
        fields[places[0]] = column
    return tuple(fields)
