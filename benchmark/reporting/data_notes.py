"""What a reader must know of data and no record knows: a line a data set, beside the records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import UserError
from benchmark.settings import parse_yaml

NOTES = "data_notes.yaml"
"""File in a folder of records or above: data set → one line, e.g. `shop: reviews are made up`."""


def read_notes(folders: Sequence[Path]) -> dict[str, str]:
    """The notes that lie in some folders, or in the nearest folder above that has any.

    Args:
        folders: Of records; a note of a later one wins.

    Raises:
        UserError: A file is not one line a data set.
    """
    notes: dict[str, str] = {}
    for folder in folders:
        above = [folder.absolute(), *folder.absolute().parents]
        path = next((own / NOTES for own in above if (own / NOTES).is_file()), None)
        if path is None:
            continue
        try:
            found = parse_yaml(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read {path}: {error}") from None
        if not isinstance(found, dict) or not all(_is_line(own) for own in found.values()):
            raise UserError(f"{path}: one line a data set is needed, e.g. 'shop: made-up reviews'")
        notes |= {str(name): " ".join(own.split()) for name, own in found.items()}
    return notes


def _is_line(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
