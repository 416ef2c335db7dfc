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
    users = pl.DataFrame({USER: _column(dataset.users.external_ids), EVENTS: log.lengths})
    users.write_parquet(folder / "users.parquet")
    decoded = {f.name: _labels(f, log.item_columns[f.name]) for f in log.schema if f.of_item}
    met = count(log.items, len(catalog))[1:]
    items = pl.DataFrame(
        {
            **decoded,
            ITEM: _column(catalog.items.external_ids),
            TEXT: _column(catalog.texts)[1:],
            EVENTS: met,
        }
    )
    items.select(ITEM, TEXT, pl.exclude(ITEM, TEXT)).write_parquet(folder / "items.parquet")


def _labels(feature: Feature, codes: np.ndarray) -> pl.Series:
    """The names of an item feature's values, padding row left out; null or [] where unknown."""
    if not feature.labels:
        return pl.Series(codes[1:].tolist())
    names = pl.Series([None, *feature.labels], dtype=pl.String)
    rows = codes[1:]
    words = names.gather(rows.reshape(-1).astype(np.uint32))
    if rows.ndim == 1:
        return words
    return words.reshape(rows.shape).arr.to_list().list.drop_nulls()


def _column(texts: Sequence[str]) -> pl.Series:
    if not isinstance(texts, Texts):
        return pl.Series(list(texts), dtype=pl.String)
    offsets = np.ascontiguousarray(texts.offsets, dtype=np.int64)
    array = pa.LargeStringArray.from_buffers(
        len(texts), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(texts.data))
    )
    return pl.Series(values=array, dtype=pl.String)
