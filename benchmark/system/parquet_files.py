"""What can be wrong with a Parquet file that somebody else wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from benchmark.errors import UserError

PARQUET_DAMAGE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What polars raises for a file that is none: errors, and panics of its Rust code.

A panic is no `Exception`; it says that a check is missing there, and nothing of ours broke.
"""
BOMB_ROWS, BOMB_ROWS_A_BYTE = 50_000_000, 100
"""A file with more than both is refused: rows with ids of users take a bit each at the least."""


def check_parquet(path: Path, columns: Sequence[str] | None = None) -> None:
    """Looks through a file, some rows at a time, before polars reads it.

    For some damage polars asks for more memory than there is, and the whole process ends. Arrow,
    whose reader is made for files of strangers, says what is wrong with these.

    Args:
        path: The file.
        columns: Which are to be read; None = all. What is not there is passed over.

    Raises:
        OSError: It is damaged.
        UserError: It says that it holds so many rows that it was made to fill the memory.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            rows, size = file.metadata.num_rows, path.stat().st_size
            if rows > BOMB_ROWS and rows > BOMB_ROWS_A_BYTE * size:
                raise UserError(
                    f"{path} says that it holds {rows:,} rows in {size:,} bytes: it was made to "
                    "fill the memory"
                )
            chosen = None if columns is None else list(columns)
            for _ in file.iter_batches(columns=chosen, use_threads=False):
                pass
    except (ValueError, MemoryError) as error:  # Arrow's own errors are of these kinds
        raise OSError(str(error) or "its sizes are wrong") from None
    except pa.ArrowNotImplementedError:
        pass  # a type that polars has and Arrow has not
