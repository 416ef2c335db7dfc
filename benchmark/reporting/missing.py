"""Something that no record answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Missing:
    """Something without a record.

    Attributes:
        what: A task under a split, a data set, a method, an axis.
        where: On which data, or in which comparison.
        command: What would make it.
    """

    what: str
    where: str
    command: str
