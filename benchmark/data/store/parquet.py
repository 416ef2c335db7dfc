"""A prepared data set's users and items as Parquet, with words where the arrays have indices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from benchmark.data.dataset import Dataset
from benchmark.data.encoding import count
from benchmark.schema import ITEM, TEXT, USER, Feature
from benchmark.texts import Texts

EVENTS = "events"
"""Column that says how many events a user or an item has."""


def write_tables(dataset: Dataset, folder: Path) -> None:
    """Writes `users.parquet` and `items.parquet`; row r is the internal index r + 1."""
    log, catalog = dataset.events, dataset.catalog
    users = pl.DataFrame({USER: text_column(dataset.users.external_ids), EVENTS: log.lengths})
    users.write_parquet(folder / "users.parquet")
    decoded = {f.name: readable(f, log.item_columns[f.name][1:]) for f in log.schema if f.of_item}
    met = count(log.items, len(catalog))[1:]
    items = pl.DataFrame(
        {
            **decoded,
            ITEM: text_column(catalog.items.external_ids),
            TEXT: text_column(catalog.texts)[1:],
            EVENTS: met,
        }
    )
    items.select(ITEM, TEXT, pl.exclude(ITEM, TEXT)).write_parquet(folder / "items.parquet")


def readable(feature: Feature, codes: np.ndarray) -> pl.Series:
    """The names of a feature's values, null or [] where unknown; indices where it has no names.

    Args:
        feature: What the values are of.
        codes: `[n]` or `[n, V]`.
    """
    if not feature.labels:
        return pl.Series(codes.tolist())
    names = pl.Series([None, *feature.labels], dtype=pl.String)
    words = names.gather(codes.reshape(-1).astype(np.uint32))
    if codes.ndim == 1:
        return words
    return words.reshape(codes.shape).arr.to_list().list.drop_nulls()


def text_column(texts: Sequence[str]) -> pl.Series:
    """Texts as a column; the bytes of `Texts` are not copied."""
    if not isinstance(texts, Texts):
        return pl.Series(list(texts), dtype=pl.String)
    offsets = np.ascontiguousarray(texts.offsets, dtype=np.int64)
    array = pa.LargeStringArray.from_buffers(
        len(texts), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(texts.data))
    )
    return pl.Series(values=array, dtype=pl.String)
