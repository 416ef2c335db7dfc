"""The layout of Google Local's reviews of 2021."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.data.made_up.layouts import Sheet
from benchmark.data.made_up.layouts_reviews import (
    as_json,
    code,
    items_of,
    packed_lines,
    quirk_of,
    reviewer_name,
    said,
    write_json,
)
from benchmark.schema import ITEM, TEXT, TIMESTAMP, USER


def write_google_local(sheet: Sheet) -> Path:
    """`review-X.json.gz` and `meta-X.json.gz`; time in ms; a third of the reviews has no text.

    Quirks: events twice; HTML and entities in texts; places without name or category, repeated
    rows of places.
    """
    silent = (pl.col(USER) * 31 + pl.col(ITEM) * 17) % 3 == 0
    with packed_lines(sheet.folder / f"review-{sheet.part}.json.gz") as write:
        for chunk in said(sheet):
            frame = chunk.select(
                user_id=code("1", USER, 20),
                name=reviewer_name(sheet),
                time=pl.col(TIMESTAMP) * 1000 + pl.col(USER) % 1000,
                rating=pl.col("rating"),
                text=pl.when(silent).then(None).otherwise(pl.col(TEXT)),
                pics=pl.lit(None),
                resp=pl.lit(None),
                gmap_id=_place(pl.col(ITEM)),
            )
            write(as_json(frame))
    rows = []
    for row in items_of(sheet):
        quirk = quirk_of(sheet, row[ITEM])
        place = {
            "name": None if quirk == "no title" else row["title"],
            "address": f"{row['title']}, 1 Main St, Nowhere",
            "gmap_id": f"0x{row[ITEM]:016d}:0x{row[ITEM] * 7:016d}",
            "description": None,
            "latitude": 43.6,
            "longitude": -72.9,
            "category": None if quirk == "no genres" else row["genres"],
            "avg_rating": 4.2,
            "num_of_reviews": 7,
            "price": None,
            "hours": None,
            "MISC": None,
            "state": None,
            "relative_results": None,
            "url": "https://www.google.com/maps/place//",
        }
        rows += [place] * (2 if quirk == "repeated" else 1)
    write_json(sheet.folder / f"meta-{sheet.part}.json.gz", rows)
    return sheet.folder


def _place(item: pl.Expr) -> pl.Expr:
    first, second = (number.cast(pl.Int64).cast(pl.String) for number in (item, item * 7))
    return pl.format("0x{}:0x{}", first.str.zfill(16), second.str.zfill(16))
