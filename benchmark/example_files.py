"""`examples.parquet`, what was asked and answered a user, as runs and publishing write it.

Two forms: the full one of a run, and the compact one of what is published, which leaves out what
follows from other columns. Free of torch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from benchmark.errors import UserError
from benchmark.metrics.label_recall import CUTS, label_places, recalls
from benchmark.metrics.ranking import MISSED, NEXT_ITEM_METRICS
from benchmark.results import EXAMPLES

_LABELS = "labels"
"""Key of the file's metadata: all labels in their order, as JSON."""


@dataclass(frozen=True)
class Stored:
    """An examples file as it stands.

    Attributes:
        frame: Its columns, `user` among them, each user once.
        labels: All labels in their order, where the task asks for one; empty in older files.
    """

    frame: pl.DataFrame
    labels: tuple[str, ...] = ()


def write_examples(folder: Path, stored: Stored) -> None:
    """Writes the examples of a cell into its folder."""
    metadata = {_LABELS: json.dumps(stored.labels)} if stored.labels else {}
    stored.frame.write_parquet(folder / EXAMPLES, compression="zstd", metadata=metadata)


def read_stored(record: Path) -> Stored:
    """Reads the examples beside a record as they stand.

    Args:
        record: Path of the record.

    Raises:
        UserError: There are none, they cannot be read, or they are not one example a user.
    """
    file = record.with_name(EXAMPLES)
    if not file.is_file():
        raise UserError(f"there is no {file}: of this run only the record was kept; run it again")
    try:
        frame = pl.read_parquet(file)
        labels = json.loads(pl.read_parquet_metadata(file).get(_LABELS, "[]"))
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        reason = (str(error).splitlines() or ["broken"])[0]
        raise UserError(f"{file} cannot be read ({reason}): run the cell again") from None
    users = frame["user"] if "user" in frame.columns else None
    if users is None or users.null_count() or users.n_unique() != len(frame):
        raise UserError(f"{file} does not hold one example a user: run the cell again")
    return Stored(frame, tuple(labels))


def read_examples(record: Path) -> pl.DataFrame:
    """Reads the examples beside a record, a row a user, whichever form they have.

    Args:
        record: Path of the record.

    Returns:
        The stored columns; in the compact form also the metrics that follow from them.

    Raises:
        UserError: See `read_stored`.
    """
    return restored(read_stored(record).frame)


def restored(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of a frame, and the metrics that follow from them where all are left out."""
    missing = _derivable(frame.columns)
    if not missing or not set(missing).isdisjoint(frame.columns):
        return frame
    if "target_rank" in frame.columns:
        places = frame["target_rank"].fill_null(MISSED).to_numpy()
        values = {metric.name: metric.per_example(places) for metric in NEXT_ITEM_METRICS}
    else:
        values = recalls(*label_places(frame))
    return frame.with_columns(pl.Series(name, values[name], dtype=pl.Float64) for name in missing)


def _derivable(columns: Sequence[str]) -> tuple[str, ...]:
    """Metrics that follow from the columns that both forms have."""
    if "target_rank" in columns:
        return tuple(metric.name for metric in NEXT_ITEM_METRICS)
    if {"right", "ranked"} <= set(columns):
        return tuple(f"recall@{k}" for k in CUTS)
    return ()
