"""Reads what runs wrote of every example. Free of torch."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.errors import UserError
from benchmark.results import EXAMPLES


def read_examples(record: Path) -> pl.DataFrame:
    """The examples beside a record.

    Raises:
        UserError: They are not there, or broken.
    """
    path = record.parent / EXAMPLES
    try:
        return pl.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"there is no {path}: without it {record} cannot be compared") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{path} is broken: {' '.join(str(error).split())}") from None
