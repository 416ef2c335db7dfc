"""`examples.parquet`, what was asked and answered a user, as runs and publishing write it.

Two forms: the full one of a run, and the compact one of what is published, which leaves out what
follows from other columns. Free of torch.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import polars as pl

from benchmark.errors import UserError
from benchmark.metrics.label_recall import CUTS, label_places, recalls
from benchmark.metrics.ranking import MISSED, NEXT_ITEM_METRICS
from benchmark.records.results import EXAMPLES
from benchmark.system.parquet_files import PARQUET_DAMAGE, check_parquet

_LABELS, _FORM, _COMPACT = "labels", "form", "compact"
"""Keys of the file's metadata: all labels in their order, as JSON, and which form it has."""
_OF_OTHERS = ("target", "item", "prompt", "reference", "output")
"""What publishers' files say, and texts that quote them."""
_RANKED = 10
"""Items of a ranking that the compact form keeps: no metric looks further."""


@dataclass(frozen=True)
class Stored:
    """An examples file as it stands.

    Attributes:
        frame: Its columns, `user` among them, each user once.
        labels: All labels in their order, where the task asks for one; empty in older files.
        compact: Whether it is the form that is published.
    """

    frame: pl.DataFrame
    labels: tuple[str, ...] = ()
    compact: bool = False


def write_examples(folder: Path, stored: Stored) -> None:
    """Writes the examples of a cell into its folder."""
    metadata = {_LABELS: json.dumps(stored.labels)} if stored.labels else {}
    metadata |= {_FORM: _COMPACT} if stored.compact else {}
    # By way of memory: of a full disk polars does not always say what it is.
    content = io.BytesIO()
    stored.frame.write_parquet(content, compression="zstd", metadata=metadata)
    (folder / EXAMPLES).write_bytes(content.getvalue())


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
        check_parquet(file)
        frame = pl.read_parquet(file)
        metadata = pl.read_parquet_metadata(file)
        labels = json.loads(metadata.get(_LABELS, "[]"))
    except (OSError, ValueError, *PARQUET_DAMAGE) as error:
        reason = (str(error).splitlines() or ["broken"])[0]
        raise UserError(f"{file} cannot be read ({reason}): run the cell again") from None
    users = frame["user"] if "user" in frame.columns else None
    if users is None or users.null_count() or users.n_unique() != len(frame):
        raise UserError(f"{file} does not hold one example a user: run the cell again")
    if "target_rank" in frame.columns and not _are_places(frame["target_rank"]):
        raise UserError(f"{file} holds a target_rank that is no place from 1: run the cell again")
    return Stored(frame, tuple(labels), metadata.get(_FORM) == _COMPACT)


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


def read_by_hash(record: Path, fingerprint: str) -> pl.DataFrame:
    """`read_examples` with users called as in what is published, so that both forms can be paired.

    Args:
        record: Path of the record.
        fingerprint: Of its data set.

    Raises:
        UserError: See `read_stored`.
    """
    stored = read_stored(record)
    frame = stored.frame if stored.compact else _without_names(stored.frame, fingerprint)
    return restored(frame)


def compact(stored: Stored, fingerprint: str) -> Stored:
    """The form that is published: nothing of the publisher's, and what others follow from once.

    A user is known by the first 16 hexadecimal digits of the SHA-256 of `fingerprint <tab> user`:
    the same one in all records of a data set, so that they can still be paired. Rows stand in the
    order of these.

    Args:
        stored: Examples in either form.
        fingerprint: Of the data set.
    """
    if stored.compact:
        return stored
    frame = stored.frame.drop(*_OF_OTHERS, *_derivable(stored.frame.columns), strict=False)
    frame = _without_names(frame, fingerprint)
    if "ranked" in frame.columns:
        frame = frame.with_columns(pl.col("ranked").list.head(_RANKED))
    return Stored(frame.sort("user"), stored.labels, compact=True)


def _are_places(ranks: pl.Series) -> bool:
    known = ranks.drop_nulls()
    return not len(known) or (known.dtype.is_integer() and bool((known >= 1).all()))


def _without_names(frame: pl.DataFrame, fingerprint: str) -> pl.DataFrame:
    users = [sha256(f"{fingerprint}\t{user}".encode()).hexdigest()[:16] for user in frame["user"]]
    return frame.with_columns(user=pl.Series(users, dtype=pl.String))


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
