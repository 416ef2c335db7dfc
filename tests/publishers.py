"""Writes files as publishers of reviews do, and reads them through their readers."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from benchmark.data.dataset import Dataset, build_dataset
from benchmark.data.raw import Raw
from benchmark.schema import ITEM, TEXT


def write_lines(path: Path, rows: Iterable[object], *, packed: bool = True) -> Path:
    """One object a line: strings as they are, everything else as JSON."""
    lines = "".join(row + "\n" if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(lines.encode()) if packed else lines.encode())
    return path


def as_dataset(raw: Raw) -> Dataset:
    """What is left when every item is called by its id where it has no title."""
    catalog = raw.catalog.with_columns(pl.coalesce(TEXT, pl.col(ITEM).cast(pl.String)).alias(TEXT))
    return build_dataset(
        "small",
        raw.events,
        catalog,
        raw.features,
        source="a test",
        licence="none",
        citation="none",
        label_feature=raw.label_feature,
    )


def everything(raw: Raw) -> str:
    """All that a reader hands on, as one text to search in."""
    frames = [frame.write_ndjson() for frame in (raw.events, raw.catalog)]
    return "\n".join([*frames, repr(raw.features), repr(raw.counts), repr(raw.notes)])
