"""What a reader must know of data and no record knows, beside the records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UserError
from benchmark.settings import parse_yaml

NOTES = "data_notes.yaml"
"""File in a folder of records or above: data set → one line, e.g. `shop: half of a year`.

Or `shop: {note: reviews are made up, made_up: true}`.
"""
_MADE_UP, _NOTE = "made_up", "note"


@dataclass(frozen=True)
class DataNote:
    """What a reader must know of a data set.

    Attributes:
        note: One line; "" = nothing.
        made_up: Whether it decides nothing about the world: no claim is held against it.
    """

    note: str = ""
    made_up: bool = False


def read_notes(folders: Sequence[Path]) -> dict[str, DataNote]:
    """The notes that lie in some folders, or in the nearest folder above that has any.

    Args:
        folders: Of records; a note of a later one wins.

    Raises:
        UserError: A file is not one line a data set.
    """
    notes: dict[str, DataNote] = {}
    for folder in folders:
        above = [folder.absolute(), *folder.absolute().parents]
        path = next((own / NOTES for own in above if (own / NOTES).is_file()), None)
        if path is None:
            continue
        try:
            found = parse_yaml(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read {path}: {error}") from None
        if not isinstance(found, dict):
            found = {"": None}
        told = {str(name): _note(own) for name, own in found.items()}
        notes |= {name: own for name, own in told.items() if own is not None}
        if None in told.values():
            raise UserError(
                f"{path}: one line a data set is needed, e.g. 'shop: half of a year' or "
                "'shop: {note: reviews are made up, made_up: true}'"
            )
    return notes


def _note(value: object) -> DataNote | None:
    """What a line says; None where it is none."""
    given = {_NOTE: value} if isinstance(value, str) else value
    if not isinstance(given, dict) or given.keys() - {_NOTE, _MADE_UP}:
        return None
    text, made_up = given.get(_NOTE), given.get(_MADE_UP, False)
    if not isinstance(text, str) or not text.strip() or not isinstance(made_up, bool):
        return None
    return DataNote(" ".join(text.split()), made_up)
