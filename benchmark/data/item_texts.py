"""Text for items without a title: what training reviews say of them."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from benchmark.events import EventLog
from benchmark.schema import SUMMARY, TEXT
from benchmark.types import IDS, SUMMARIES, Catalog

WORDS = 10
"""Most words of such a text: about as many as a title has."""


def with_summaries(catalog: Catalog, train: EventLog) -> Catalog:
    """The catalogue with texts made of training reviews, where it has nothing but ids.

    An item's text is the summary that most of its training reviews share (the beginning of a
    review where there are no summaries), of equally frequent ones the earliest written. An item
    without one keeps its id.

    Args:
        catalog: The items; returned as it is unless its texts are ids.
        train: Training events: nothing else may be read.
    """
    field = next((name for name in (SUMMARY, TEXT) if name in train.written), None)
    if catalog.text_source != IDS or field is None:
        return catalog
    rows = pl.DataFrame(
        {"item": train.items, "time": train.timestamps, "said": list(train.written[field])}
    )
    said = pl.col("said").str.split(" ").list.eval(pl.element().filter(pl.element() != ""))
    rows = rows.with_columns(said.list.head(WORDS).list.join(" ")).filter(pl.col("said") != "")
    counted = rows.group_by("item", "said").agg(pl.len(), pl.col("time").min())
    best = counted.sort(["len", "time", "said"], descending=[True, False, False])
    best = best.unique("item", keep="first", maintain_order=True)
    if best.is_empty():
        return catalog
    texts = list(catalog.texts)
    for item, text in best.select("item", "said").iter_rows():
        texts[item] = text
    return replace(catalog, texts=tuple(texts), text_source=SUMMARIES)
