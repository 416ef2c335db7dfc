"""What can be wrong with a Parquet file that somebody else wrote."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.errors import UserError

PARQUET_DAMAGE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What polars raises for a file that is none: errors, and panics of its Rust code.

A panic is no `Exception`; it says that a check is missing there, and nothing of ours broke.
"""
BOMB_ROWS, BOMB_ROWS_A_BYTE = 50_000_000, 100
"""A file with more than both is refused: rows with ids of users take a bit each at the least."""


def check_rows(path: Path) -> None:
    """Looks, before anything is read, at how many rows a file says it holds.

    Raises:
        UserError: So many that it was made to fill the memory.
    """
    rows = int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
    size = path.stat().st_size
    if rows > BOMB_ROWS and rows > BOMB_ROWS_A_BYTE * size:
        raise UserError(
            f"{path} says that it holds {rows:,} rows in {size:,} bytes: it was made to fill the "
            "memory"
        )
