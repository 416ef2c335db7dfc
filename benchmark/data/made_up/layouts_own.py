"""The layout of a file of one's own, and what its columns mean."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.data.made_up.layouts import Sheet
from benchmark.schema import ITEM, TEXT, TIMESTAMP, USER

_COLUMNS = """\
user: {person}
item: {thing}
timestamp: when
title: name
text: words
features: {{stars: category}}
item_features: {{year: category, kinds: multi}}
label: kinds
"""


def write_own(sheet: Sheet) -> Path:
    """`interactions.csv`, a row an event with what is known of the item, and `columns.yaml`.

    Quirks: column names with spaces and capitals.
    """
    person, thing = ("Customer No", "Article No") if sheet.quirks else ("person", "thing")
    items = sheet.catalog.select(
        ITEM,
        pl.col(TEXT).alias("name"),
        pl.col("year").cast(pl.Int32).alias("year"),
        pl.col("genres").list.join("|").alias("kinds"),
    )
    frame = pl.concat(list(sheet.chunks)).join(items, on=ITEM, how="left", maintain_order="left")
    file = sheet.folder / "interactions.csv"
    frame.select(
        pl.format("c{}", USER).alias(person),
        pl.format("a{}", ITEM).alias(thing),
        pl.col(TIMESTAMP).alias("when"),
        pl.col("rating").alias("stars"),
        pl.col(TEXT).alias("words"),
        "name",
        "year",
        "kinds",
    ).write_csv(file)
    (sheet.folder / "columns.yaml").write_text(_COLUMNS.format(person=person, thing=thing))
    return file
