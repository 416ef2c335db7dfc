"""The layouts of Amazon's reviews: those of 2014, 2018 and 2023.

The first two give the day of a review alone, so a synthetic user's minutes become days; rows stand
in the order of time, which then settles ties.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from benchmark.schema import ITEM, SUMMARY, TEXT, TIMESTAMP, USER

_DEBRIS = (
    'var aPageStart = (new Date()).getTime();\nvar ue_t0=ue_t0||+new Date();<style type="text/css">'
)


def write_amazon_2014(sheet: Sheet) -> Path:
    """`reviews_X_5.json.gz` and `meta_X.json.gz`, whose lines are Python literals.

    Quirks: events twice; HTML and entities in texts; empty texts; no `reviewerName`; items
    without title, price or categories.
    """
    with packed_lines(sheet.folder / f"reviews_{sheet.part}_5.json.gz") as write:
        for chunk in said(sheet, days=True):
            frame = chunk.select(
                reviewerID=code("A", USER, 13),
                asin=code("B", ITEM, 9),
                reviewerName=reviewer_name(sheet),
                helpful=pl.lit(pl.Series([[0, 0]])).first(),
                reviewText=pl.col(TEXT).fill_null(""),
                overall=pl.col("rating").cast(pl.Float64),
                summary=pl.col(SUMMARY),
                unixReviewTime=pl.col(TIMESTAMP),
                reviewTime=_day(),
            )
            write(as_json(frame, absent=("reviewerName",)))
    with packed_lines(sheet.folder / f"meta_{sheet.part}.json.gz") as write:
        write("".join(f"{row!r}\n" for row in _products_2014(sheet)))
    return sheet.folder


def _products_2014(sheet: Sheet) -> Iterator[dict[str, Any]]:
    for row in items_of(sheet):
        quirk = quirk_of(sheet, row[ITEM])
        found: dict[str, Any] = {"asin": f"B{row[ITEM]:09d}"}
        if quirk != "no title":
            found["title"] = row["title"]
        if quirk != "no price":
            found["price"] = _price(row[ITEM])
        found["imUrl"] = "http://ecx.images.example/it's.jpg"
        found["related"] = {"also_bought": ["B000000001"]}
        if quirk != "no genres":
            found["categories"] = [[sheet.part, genre] for genre in row["genres"]]
        yield found


def write_amazon_2018(sheet: Sheet) -> Path:
    """`X_5.json.gz` and `meta_X.json.gz`.

    Quirks: as 2014, and absent `reviewText` and `summary`, titles that are pieces of a page,
    prices that are pieces of a page, repeated rows of metadata.
    """
    with packed_lines(sheet.folder / f"{sheet.part}_5.json.gz") as write:
        for chunk in said(sheet, days=True):
            frame = chunk.select(
                overall=pl.col("rating").cast(pl.Float64),
                verified=pl.lit(True),
                reviewTime=_day(),
                reviewerID=code("A", USER, 13),
                asin=code("B", ITEM, 9),
                reviewerName=reviewer_name(sheet),
                reviewText=pl.col(TEXT),
                summary=pl.col(SUMMARY),
                unixReviewTime=pl.col(TIMESTAMP),
            )
            write(as_json(frame, absent=("reviewerName", "reviewText", "summary")))
    rows = []
    for row in items_of(sheet):
        quirk = quirk_of(sheet, row[ITEM])
        title = {"debris": _DEBRIS, "no title": ""}.get(quirk, row["title"])
        price = {"debris": _DEBRIS, "no price": ""}.get(quirk, f"${_price(row[ITEM]):,.2f}")
        product = {
            "category": [] if quirk == "no genres" else [sheet.part, *row["genres"]],
            "description": [],
            "title": title,
            "brand": "Nobody",
            "rank": [],
            "main_cat": sheet.part,
            "price": price,
            "asin": f"B{row[ITEM]:09d}",
        }
        rows += [product] * (2 if quirk == "repeated" else 1)
    write_json(sheet.folder / f"meta_{sheet.part}.json.gz", rows)
    return sheet.folder


def write_amazon_2023(sheet: Sheet) -> Path:
    """`X.jsonl.gz` and `meta_X.jsonl.gz`; time in ms; products are `parent_asin`.

    Quirks: as 2014, and prices that are text or null, repeated rows of metadata.
    """
    with packed_lines(sheet.folder / f"{sheet.part}.jsonl.gz") as write:
        for chunk in said(sheet):
            frame = chunk.select(
                rating=pl.col("rating").cast(pl.Float64),
                title=pl.col(SUMMARY).fill_null(""),
                text=pl.col(TEXT).fill_null(""),
                images=pl.lit(pl.Series([[]], dtype=pl.List(pl.String))).first(),
                asin=code("C", ITEM, 9),  # one of several variants of the product
                parent_asin=code("B", ITEM, 9),
                user_id=code("AE", USER, 26),
                timestamp=pl.col(TIMESTAMP) * 1000 + pl.col(USER) % 1000,
                helpful_vote=pl.lit(0),
                verified_purchase=pl.lit(True),
            )
            write(as_json(frame))
    rows = []
    for row in items_of(sheet):
        quirk = quirk_of(sheet, row[ITEM])
        prices: dict[str, object] = {"no price": None, "debris": f"from {_price(row[ITEM])}"}
        product = {
            "main_category": sheet.part,
            "title": None if quirk == "no title" else row["title"],
            "average_rating": 4.2,
            "rating_number": 7,
            "features": [],
            "description": [],
            "price": prices.get(quirk, _price(row[ITEM])),
            "images": [],
            "videos": [],
            "store": "Nobody",
            "categories": [] if quirk == "no genres" else [sheet.part, *row["genres"]],
            "details": {"Package Dimensions": "1 x 1"},
            "parent_asin": f"B{row[ITEM]:09d}",
            "bought_together": None,
        }
        rows += [product] * (2 if quirk == "repeated" else 1)
    write_json(sheet.folder / f"meta_{sheet.part}.jsonl.gz", rows)
    return sheet.folder


def _price(item: int) -> float:
    return round(3.99 + (item * 37) % 300, 2)


def _day() -> pl.Expr:
    return pl.from_epoch(TIMESTAMP).dt.strftime("%m %-d, %Y")
