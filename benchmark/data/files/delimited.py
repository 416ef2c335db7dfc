"""Separated values, read three ways: all at once, line by line without Python, and with Python.

The first way takes a block in which nothing is wrong. The second finds the lines of a block that
look wrong. The third judges each of those alone. What an earlier way accepts, a later one would
read alike.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from benchmark.data.files.broken import BrokenLines, LineError, shown
from benchmark.data.files.numerals import parse_number, parsed
from benchmark.data.files.plain_text import LINE_BYTES, TOO_LONG, Block, TextFile, decoded

QUOTE = '"'
NOT_UTF8 = "lines not in UTF-8, read as Latin-1"
OVERFULL = "lines with separators inside a field"

_LINE, _EASY = "\0line", "\0easy"
"""Columns of ours, called as none of a file may be."""
_MOST_LINES_OF_A_RECORD = 1000


@dataclass(frozen=True)
class Layout:
    """What a line of a file holds.

    Attributes:
        separator: Between fields. One character: quotes quote. Several: nothing does.
        fields: Names of all fields of a line, in order.
        columns: Those that are read, and their types.
        overflow: The field that takes the separators a line has too many, "" = none does.
        multiline: Whether a quoted field may hold line breaks.
    """

    separator: str
    fields: tuple[str, ...]
    columns: Mapping[str, pl.DataType | type[pl.DataType]]
    overflow: str = ""
    multiline: bool = False

    @property
    def quotes(self) -> bool:
        """Whether quotes quote."""
        return len(self.separator) == 1

    @property
    def texts(self) -> list[str]:
        """The columns that hold text."""
        return [name for name, kind in self.columns.items() if kind == pl.String]

    @property
    def numbers(self) -> list[str]:
        """The columns that hold numbers."""
        return [name for name, kind in self.columns.items() if kind != pl.String]


def sound_rows(
    block: Block, file: TextFile, layout: Layout, frame: pl.DataFrame | None, sink: BrokenLines
) -> pl.DataFrame:
    """The sound rows of a block, in order.

    Args:
        block: The lines.
        file: Where they stand.
        layout: What a line holds.
        frame: What `all_at_once` said of them.
        sink: Told what is broken.
    """
    if frame is not None:
        if len(frame) == block.lines:
            return sink.sound(frame, range(block.first, block.first + len(frame)))
        if sink.all_sound(frame):
            return frame
    lines, strange = decoded(block, latin1=file.latin1)
    sink.counts[NOT_UTF8] += strange
    spans = layout.multiline and layout.quotes and QUOTE.encode() in block.data
    easy, left = (None, range(len(lines))) if spans else _line_by_line(lines, layout)
    frame = _one_by_one(lines, left, block.first, layout, sink)
    if easy is not None:
        frame = pl.concat([easy, frame]).sort(_LINE)
    return sink.sound(frame.drop(_LINE), (frame[_LINE] + block.first).to_numpy())


def all_at_once(block: Block, layout: Layout) -> pl.DataFrame | None:
    """A block as polars reads it, None where that is not sure to be right.

    A row for each line, or, where that cannot be, for each record of several lines.
    """
    separator, last = layout.separator[0], layout.fields[-1]
    doubled = layout.separator == 2 * separator
    if not separator.isascii() or not (layout.quotes or (doubled and not layout.texts)):
        return None
    # Two equal characters between fields are one of them, with an empty field in between.
    gaps = [f"\0{name}" for name in layout.fields[:-1]] if doubled else []
    pairs = (
        zip(layout.fields, [*gaps, ""], strict=True) if doubled else ((f,) for f in layout.fields)
    )
    fields = [field for pair in pairs for field in pair if field]
    try:
        frame = pl.read_csv(
            io.BytesIO(block.data),
            has_header=False,
            schema={field: layout.columns.get(field, pl.String) for field in fields},
            separator=separator,
            quote_char=QUOTE if layout.quotes else None,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    # A line with too few fields ends in nulls; one whose last field is empty does too, but then
    # it is merely looked at twice.
    if (
        not (len(frame) == block.lines or (layout.multiline and len(frame) == block.records))
        or any(frame[name].null_count() for name in {*layout.numbers, last})
        or any(frame[name].null_count() < len(frame) for name in gaps)
        or not all(frame[name].is_finite().all() for name in layout.numbers)
    ):
        return None
    return frame.select(
        _null_if_empty(pl.col(name)) if name in layout.texts else name for name in layout.columns
    )


def _line_by_line(lines: Sequence[str], layout: Layout) -> tuple[pl.DataFrame, list[int]]:
    """The rows of lines that are easily read, with their places, and the places of the others."""
    text, breaks = pl.col("text"), len(layout.fields) - 1
    easy = text.str.count_matches(layout.separator, literal=True) == breaks
    if layout.quotes:
        easy &= ~text.str.contains(QUOTE, literal=True)
    split = text.str.split_exact(layout.separator, breaks).struct
    columns = []
    for name, kind in layout.columns.items():
        field = split.field(f"field_{layout.fields.index(name)}")
        columns.append(
            (_null_if_empty(field) if kind == pl.String else parsed(field, kind)).alias(name)
        )
    frame = pl.DataFrame({"text": pl.Series(lines, dtype=pl.String)}).with_row_index(_LINE)
    frame = frame.filter(text.str.strip_chars() != "")
    frame = frame.select(pl.col(_LINE).cast(pl.Int64), easy.alias(_EASY), *columns)
    sure = frame[_EASY]
    for name in layout.numbers:
        sure &= frame[name].is_not_null()
    return frame.filter(sure).drop(_EASY), frame.filter(~sure)[_LINE].to_list()


def _null_if_empty(text: pl.Expr) -> pl.Expr:
    return pl.when(text != "").then(text)


def _one_by_one(
    lines: Sequence[str], places: Iterable[int], first: int, layout: Layout, sink: BrokenLines
) -> pl.DataFrame:
    """The rows of some lines, with their places; what cannot be read is told."""
    rows, done = [], 0
    for place in places:
        if place < done or not lines[place].strip():
            continue
        try:
            fields, done = _fields(lines, place, layout)
            rows.append((place, *_values(fields, layout, sink)))
        except LineError as error:
            sink.add(first + place, str(error))
            done = place + 1
    schema = {_LINE: pl.Int64, **layout.columns}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _fields(lines: Sequence[str], place: int, layout: Layout) -> tuple[list[str], int]:
    """The fields of the record that begins at a line, and where the next one begins."""
    line = lines[place]
    if line == TOO_LONG.decode():
        raise LineError(f"is longer than {LINE_BYTES >> 20} MiB")
    if not layout.quotes or QUOTE not in line:
        return line.split(layout.separator), place + 1
    fields = _quoted(line, layout, strict=True)
    if fields is None and layout.multiline and line.count(QUOTE) % 2:
        for end in range(place + 1, min(place + _MOST_LINES_OF_A_RECORD, len(lines))):
            if lines[end].count(QUOTE) % 2:
                fields = _quoted("\n".join(lines[place : end + 1]), layout, strict=True)
                if fields is not None:
                    return fields, end + 1
                break
    if fields is None and line.count(QUOTE) % 2 == 0:
        fields = _quoted(line, layout, strict=False)  # e.g. `"Heat" again`
    if fields is None:
        raise LineError("a quote is not closed")
    return fields, place + 1


def _quoted(text: str, layout: Layout, *, strict: bool) -> list[str] | None:
    """The fields of one record, None where its quotes are not in order."""
    try:
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=layout.separator, strict=strict
        )
        records = list(reader)
    except csv.Error:
        return None
    return records[0] if len(records) == 1 else None


def _values(fields: list[str], layout: Layout, sink: BrokenLines) -> list[str | float | None]:
    wanted, surplus = len(layout.fields), len(fields) - len(layout.fields)
    if surplus > 0 and layout.overflow:
        begin = layout.fields.index(layout.overflow)
        whole = layout.separator.join(fields[begin : begin + surplus + 1])
        fields = [*fields[:begin], whole, *fields[begin + surplus + 1 :]]
        sink.counts[OVERFULL] += 1
    elif surplus:
        raise LineError(f"{wanted} fields are expected, not {len(fields)}")
    values: list[str | float | None] = []
    for name, kind in layout.columns.items():
        text = fields[layout.fields.index(name)]
        value = (text or None) if kind == pl.String else parse_number(text, kind)
        if value is None and kind != pl.String:
            raise LineError(f"{shown(name, text)} is no {_what(kind)}")
        values.append(value)
    return values


def _what(kind: pl.DataType | type[pl.DataType]) -> str:
    return "number" if kind in (pl.Float32, pl.Float64) else "whole number in range"
