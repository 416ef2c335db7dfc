"""One generic table of named things, loaded when they are first used."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from benchmark.errors import unknown


@dataclass(frozen=True)
class Entry:
    """One row of a table.

    Attributes:
        target: `module:attribute`, imported on use.
        summary: One line for `list`.
        requires: Modules that must be importable.
        install: The command that adds what is missing.
        unavailable: Why it cannot be used, with what to do about it; "" where it can.
    """

    target: str
    summary: str
    requires: tuple[str, ...] = ()
    install: str = ""
    unavailable: str = ""

    def load(self) -> object:
        """Imports the target."""
        return load(self.target)


def load(target: str) -> object:
    """Imports `module:attribute`."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


E = TypeVar("E", bound=Entry)


class Registry(Generic[E]):
    """Names and their entries.

    Args:
        kind: What the entries are, as error messages call it.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, E] = {}

    def add(self, name: str, entry: E) -> None:
        """Adds an entry.

        Raises:
            ValueError: The name is taken.
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry

    def __getitem__(self, name: str) -> E:
        """The entry of a name; `UserError` with the nearest name where there is none."""
        if name not in self._entries:
            raise unknown(self.kind, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def items(self) -> Iterator[tuple[str, E]]:
        """Names with their entries."""
        return iter(self._entries.items())

    def __len__(self) -> int:
        return len(self._entries)
