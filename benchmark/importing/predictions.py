"""A file of answers: what is in it, and whether it answers what is asked."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import polars as pl

from benchmark.errors import UserError

TARGET_HASH = "target_hash"
"""Key of the file's metadata, or column, that says which targets it answers."""


@dataclass(frozen=True)
class Predictions:
    """A file of answers as it stands.

    Attributes:
        path: The file.
        frame: Its columns.
        target_hash: Which targets it says to answer, "" = it does not say.
        sha256: Of the file, hexadecimal.
    """

    path: Path
    frame: pl.DataFrame
    target_hash: str
    sha256: str

    @property
    def identity(self) -> dict[str, str]:
        """What a record remembers of it."""
        return {"file": self.path.name, "sha256": self.sha256}


def read_predictions(path: Path) -> Predictions:
    """Reads a file of answers.

    Raises:
        UserError: There is none, or it is no Parquet file.
    """
    if not path.is_file():
        raise UserError(f"there is no file {str(path)!r}")
    try:
        frame = pl.read_parquet(path)
        said = pl.read_parquet_metadata(path).get(TARGET_HASH, "")
        content = sha256(path.read_bytes()).hexdigest()
    except (OSError, pl.exceptions.PolarsError):
        raise UserError(
            f"{path} cannot be read as Parquet, the only format that is taken (polars: "
            "write_parquet, pandas: to_parquet)"
        ) from None
    if not said and TARGET_HASH in frame.columns:
        values = frame[TARGET_HASH].unique()
        if len(values) != 1 or values.null_count():
            raise UserError(f"{path}: column {TARGET_HASH} must hold one value in every row")
        said = str(values[0])
    return Predictions(path, frame, said, content)


def check_targets(predictions: Predictions, given: str | None, expected: str) -> None:
    """Checks that answers are to the targets that are asked for.

    Args:
        predictions: The answers.
        given: What `--target-hash` says; None = nothing.
        expected: Of the targets.

    Raises:
        UserError: They are not, or nothing says so.
    """
    said = {name for name in (predictions.target_hash, given or "") if name}
    if not said:
        raise UserError(
            f"{predictions.path} does not say which targets it answers; if it was made for this "
            f"data set, split and task, write the Parquet metadata {TARGET_HASH!r} = {expected}, a "
            f"column of that name, or give --target-hash {expected}"
        )
    strange = said - {expected}
    if strange:
        raise UserError(
            f"{predictions.path} answers the targets {sorted(strange)[0]}, what is asked has the "
            f"{TARGET_HASH} {expected}: another preparation, split, task or setting of it"
        )
