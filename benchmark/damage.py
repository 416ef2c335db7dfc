"""What polars raises for a file that is none of its kind: errors, and panics of its Rust code."""

from __future__ import annotations

import polars as pl

PARQUET_DAMAGE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""A panic is no `Exception`; it says that a check is missing there, and nothing of ours broke."""
