"""A file of answers: what is in it, and whether it answers what is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import polars as pl

from benchmark.errors import UserError
from benchmark.system.parquet_files import PARQUET_DAMAGE, check_parquet

TARGET_HASH = "target_hash"
"""Key of the file's metadata, or column, that says which targets it answers."""
PART = "part"
_ASKED = ("task", "split", PART, "seen")
"""Further keys of the metadata that `data export` writes; a file that has them must agree."""


@dataclass(frozen=True)
class Predictions:
    """A file of answers as it stands.

    Attributes:
        path: The file.
        frame: Its columns.
        target_hash: Which targets it says to answer, "" = it does not say.
        sha256: Of the file, hexadecimal.
        asked: What else its metadata says it was asked.
    """

    path: Path
    frame: pl.DataFrame
    target_hash: str
    sha256: str
    asked: Mapping[str, str] = field(default_factory=dict)

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
        check_parquet(path)
        frame = pl.read_parquet(path)
        metadata = pl.read_parquet_metadata(path)
        content = sha256(path.read_bytes()).hexdigest()
    except (OSError, *PARQUET_DAMAGE):
        raise UserError(
            f"{path} cannot be read as Parquet, the only format that is taken (polars: "
            "write_parquet, pandas: to_parquet)"
        ) from None
    said = metadata.get(TARGET_HASH, "")
    asked = {name: metadata[name] for name in _ASKED if name in metadata}
    if not said and TARGET_HASH in frame.columns:
        values = frame[TARGET_HASH].unique()
        if len(values) != 1 or values.null_count():
            raise UserError(f"{path}: column {TARGET_HASH} must hold one value in every row")
        said = str(values[0])
    return Predictions(path, frame, said, content, asked)


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


def check_asked(predictions: Predictions, expected: Mapping[str, str]) -> None:
    """Checks what else a file says it was asked: the hash is that of all parts together.

    A file that names no part answers the test part.

    Args:
        predictions: The answers.
        expected: Task, split, part and seen items that they are judged by.

    Raises:
        UserError: It was asked something else.
    """
    for name, said in {PART: "test", **predictions.asked}.items():
        if name in expected and said != expected[name]:
            silent = "" if name in predictions.asked else " (its metadata names no part)"
            raise UserError(
                f"{predictions.path} answers {name} {said!r}{silent}, not {expected[name]!r}: give "
                f"--{name} {said}, or the answers to what is asked, with the metadata of its "
                "questions.parquet"
            )
