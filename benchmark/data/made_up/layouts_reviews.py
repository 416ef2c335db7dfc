"""What the layouts of reviews share: one JSON object a line, packed, and what users say."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from benchmark.data.made_up.layouts import Sheet
from benchmark.data.made_up.synthetic import VERDICTS, bare_titles
from benchmark.schema import ITEM, SUMMARY, TEXT, TIMESTAMP, USER

DAY_SECONDS = 86_400


def said(sheet: Sheet, *, days: bool = False) -> Iterator[pl.DataFrame]:
    """Events in the order of time within a chunk, with a summary, and quirks where asked for."""
    verdicts = pl.Series([verdict.capitalize() for verdict in VERDICTS])
    genres = sheet.catalog["genres"].list.first().str.to_lowercase()
    for plain in sheet.chunks:
        chunk = plain.with_columns(
            pl.concat_str(
                verdicts.gather(plain["rating"] - 1),
                pl.lit(" "),
                genres.gather(plain[ITEM] - 1),
            ).alias(SUMMARY)
        )
        if days:
            begun = pl.col(TIMESTAMP).min().over(USER)
            time = begun + (pl.col(TIMESTAMP) - begun) * 60
            chunk = chunk.with_columns((time // DAY_SECONDS * DAY_SECONDS).alias(TIMESTAMP))
        if sheet.quirks:
            nth = pl.int_range(pl.len()) % 10
            chunk = chunk.with_columns(
                pl.when(nth == 3)
                .then(pl.col(TEXT).str.replace(", and", ",<br />and", literal=True))
                .when(nth == 4)
                .then(pl.col(TEXT).str.replace(" and ", " &amp; ", literal=True))
                .when(nth == 5)
                .then(None)
                .otherwise(TEXT)
                .alias(TEXT),
                pl.when(nth == 6).then(None).otherwise(SUMMARY).alias(SUMMARY),
            )
            chunk = pl.concat([chunk, chunk.gather_every(20)])
        yield chunk.sort(TIMESTAMP, maintain_order=True)


def quirk_of(sheet: Sheet, item: int) -> str:
    """What is wrong with an item, "" where nothing is."""
    names = {1: "debris", 2: "no title", 3: "no price", 4: "no genres", 5: "repeated"}
    return names.get(item % 12, "") if sheet.quirks else ""


def items_of(sheet: Sheet) -> Iterator[dict[str, Any]]:
    """Items as rows, with a `title` that has no year."""
    return sheet.catalog.with_columns(bare_titles(sheet.catalog).alias("title")).iter_rows(
        named=True
    )


def code(letter: str, column: str, digits: int) -> pl.Expr:
    """A letter or more, then a number with zeros in front."""
    return pl.format(letter + "{}", pl.col(column).cast(pl.String).str.zfill(digits))


def reviewer_name(sheet: Sheet) -> pl.Expr:
    """What no reader should ever read; quirks: not always there."""
    name = pl.format('Reader "{}"', USER)
    nth = pl.int_range(pl.len())
    return pl.when(nth % 9 != 8).then(name) if sheet.quirks else name


def as_json(frame: pl.DataFrame, absent: Sequence[str] = ()) -> str:
    """One object a line; null keys among `absent` are left out."""
    text = frame.write_ndjson()
    for key in absent:
        if frame[key].null_count():
            # Within a text the quotes would stand behind backslashes: this meets keys alone.
            text = text.replace(f',"{key}":null', "")
    return text


def write_json(path: Path, rows: Iterable[object]) -> None:
    """Writes a line a row."""
    with packed_lines(path) as write:
        for row in rows:
            write(json.dumps(row) + "\n")


@contextmanager
def packed_lines(path: Path) -> Iterator[Callable[[str], object]]:
    """A gzip file without its time, so that the same world gives the same bytes."""
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 1, file, mtime=0) as packed:
        yield lambda text: packed.write(text.encode())
