"""What Amazon's metadata says of items: title, categories and price, each item once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from benchmark.data.files.archives import Opened, open_member
from benchmark.data.files.lines import read_json_lines
from benchmark.data.readers.literals import read_literal_lines
from benchmark.data.readers.markup import clean, clean_titles
from benchmark.data.readers.presence import is_there
from benchmark.data.readers.sieve import external_id, first_id, first_known, has_id
from benchmark.schema import ITEM, TEXT

CATEGORIES = "categories"
PRICE = "price"
SHARED = 0.95
"""Share of the items from which on a category says nothing, and the one below it is taken."""
LONGEST_LABEL = 60
"""Characters; below the categories the lists of 2018 hold sentences of the description."""
# "$7.99", "from 7.99", "$1,299.00", "$10.00 - $20.00" (the lower); anything else is no price.
_PRICE = r"(?i)^\s*(?:from\s+)?(?:US)?\s*\$?\s*(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
_LITERAL_ID = re.compile(r"\{'asin': '([^'\\]*)'")
_PATHS, _WIDE, _NARROW, _MAIN = "paths", "wide", "narrow", "main"
_COLUMNS = {
    ITEM: pl.String(),
    TEXT: pl.String(),
    PRICE: pl.String(),
    _PATHS: pl.List(pl.Struct({_WIDE: pl.String(), _NARROW: pl.String()})),
    _MAIN: pl.String(),
}
"""Rows of metadata: of each path of categories the two upper levels."""


@dataclass(frozen=True)
class MetadataKeys:
    """What the lines of one year's metadata call things.

    Attributes:
        items: Key of the item's id; of several the first that is there.
        categories: Key of the categories, from the widest down.
        main: Key of the department, for catalogues without categories; "" = there is none.
        literal: Whether lines are written as Python and not as JSON, with several paths of
            categories an item.
    """

    items: tuple[str, ...]
    categories: str
    main: str = ""
    literal: bool = False


@dataclass(frozen=True)
class Products:
    """Items that are known.

    Attributes:
        frame: Columns `item`, `text`, `categories` (lists), `price`; one row an item, by id.
        counts: What was skipped.
    """

    frame: pl.DataFrame
    counts: Mapping[str, int] = field(default_factory=dict)


def nothing_known(known: pl.Series) -> Products:
    """Items of which there are but ids."""
    columns = {TEXT: pl.String(), CATEGORIES: pl.List(pl.String()), PRICE: pl.Float64()}
    empty = [pl.lit(None, dtype).alias(name) for name, dtype in columns.items()]
    return Products(pl.DataFrame({ITEM: known}).with_columns(empty))


def read_products(
    source: Path, names: Sequence[str], keys: MetadataKeys, known: pl.Series, broken: float
) -> Products | None:
    """Reads the metadata that lies beside the reviews.

    Args:
        source: A folder or archive.
        names: Names of the file of items, by preference.
        keys: How its lines are written.
        known: Ids of the items that have reviews: of others nothing is kept.
        broken: Share of the lines that may be of no use.

    Returns:
        The items in the order of `known`, None where there is no such file.

    Raises:
        UserError: The file is too broken, or not what its name says.
    """
    if not is_there(source, names):
        return None
    read = _read_literals if keys.literal else _read_json
    with open_member(source, *names) as opened:
        rows, counts, others = read(opened, keys, known, broken)
    wanted = rows.with_columns(external_id(pl.col(ITEM)))
    wanted = wanted.filter(pl.col(ITEM).is_in(known.implode()))
    titles, debris = clean_titles(wanted[TEXT])
    prices = wanted[PRICE].str.extract(_PRICE, 1).str.replace_all(",", "").cast(pl.Float64)
    written = wanted[PRICE].str.strip_chars() != ""
    priceless = int((written & prices.is_null()).sum())
    wanted = wanted.with_columns(titles, prices.alias(PRICE))
    wanted, repeated = first_known(wanted)
    frame = pl.DataFrame({ITEM: known}).join(wanted, on=ITEM, how="left", maintain_order="left")
    frame = frame.with_columns(_labels(frame).alias(CATEGORIES))
    found = {
        "rows of items without reviews": others,
        **repeated,
        "titles that are debris": debris,
        "prices that are none": priceless,
        "items without metadata": len(known) - len(wanted),
        "items without category": frame[CATEGORIES].null_count(),
    }
    counts = {**counts, **{reason: count for reason, count in found.items() if count}}
    return Products(frame.select(ITEM, TEXT, CATEGORIES, PRICE), counts)


def _read_json(
    opened: Opened, keys: MetadataKeys, known: pl.Series, broken: float
) -> tuple[pl.DataFrame, dict[str, int], int]:
    scalars = [*keys.items, "title", PRICE, keys.main]
    schema: dict[str, pl.DataType] = {key: pl.String() for key in scalars}
    schema[keys.categories] = pl.List(pl.String())
    checks = [has_id(keys.items)]
    lines, counts = read_json_lines(opened, schema, broken=broken, checks=checks)
    path = pl.col(keys.categories).list
    wide = path.get(0, null_on_oob=True).alias(_WIDE)
    narrow = path.get(1, null_on_oob=True).alias(_NARROW)
    rows = lines.select(
        first_id(keys.items).alias(ITEM),
        pl.col("title").alias(TEXT),
        PRICE,
        pl.when(path.len() > 0).then(pl.concat_list(pl.struct(wide, narrow))).alias(_PATHS),
        pl.col(keys.main).alias(_MAIN),
    )
    wanted = rows.filter(pl.col(ITEM).is_in(known.implode()))
    return wanted, counts, len(rows) - len(wanted)


def _read_literals(
    opened: Opened, keys: MetadataKeys, known: pl.Series, broken: float
) -> tuple[pl.DataFrame, dict[str, int], int]:
    wanted = set(known)

    def skip(line: str) -> bool:
        begin = _LITERAL_ID.match(line)
        return begin is not None and begin[1] not in wanted

    def row(record: Mapping[str, object]) -> tuple[object, ...] | None:
        item = next((record[key] for key in keys.items if record.get(key)), None)
        paths = record.get(keys.categories)
        steps = [
            [*map(_text, path), None, None]
            for path in (paths if isinstance(paths, list) else [])
            if isinstance(path, list) and path
        ]
        levels = [{_WIDE: step[0], _NARROW: step[1]} for step in steps]
        texts = map(_text, [item, record.get("title"), record.get(PRICE)])
        return None if item is None else (*texts, levels, None)

    rows, counts, skipped = read_literal_lines(opened, row, broken=broken, skip=skip)
    return pl.DataFrame(rows, schema=_COLUMNS, orient="row"), counts, skipped


def _labels(frame: pl.DataFrame) -> pl.Series:
    """The categories of each item, at the level that tells items apart.

    Where nearly all items share their widest category, as they do in a publisher's file of one
    category, it is the level below.

    Args:
        frame: Columns `paths` and `main`, one row an item.

    Returns:
        Lists, null where an item has no category.
    """
    paths = frame.select(pl.int_range(pl.len()).alias("row"), _PATHS).explode(_PATHS)
    paths = paths.unnest(_PATHS)
    paths = paths.with_columns(_tidy(paths[_WIDE]), _tidy(paths[_NARROW]))
    paths = paths.filter(pl.col(_WIDE).is_not_null())
    items = paths["row"].n_unique()
    roots = paths.group_by(_WIDE).agg(pl.col("row").n_unique().alias("items"))
    roots = roots.filter(pl.col("items") >= max(1.0, SHARED * items))
    below = paths.filter(pl.col(_WIDE).is_in(roots[_WIDE].implode()))
    level = _WIDE
    if below[_NARROW].is_not_null().any():
        paths, level = below, _NARROW
    labels = paths.select("row", pl.col(level).alias(CATEGORIES))
    if not items:
        labels = frame.select(pl.int_range(pl.len()).alias("row"), _tidy(frame[_MAIN]))
        labels = labels.rename({_MAIN: CATEGORIES})
    labels = labels.drop_nulls().unique(maintain_order=True)
    labels = labels.group_by("row", maintain_order=True).agg(CATEGORIES)
    rows = frame.select(pl.int_range(pl.len()).alias("row"))
    return rows.join(labels, on="row", how="left", maintain_order="left")[CATEGORIES]


def _text(value: object) -> str | None:
    # Half a pair of UTF-16, as "\ud83d" alone is, can be no text of ours.
    return None if value is None else str(value).encode(errors="replace").decode()


def _tidy(labels: pl.Series) -> pl.Series:
    tidy = clean(labels)
    return tidy.set((tidy.str.len_chars() > LONGEST_LABEL).fill_null(False), None)
