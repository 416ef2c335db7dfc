"""Arguments of the library's calls: what is none of the kinds it takes is wrong input."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar

from benchmark.errors import UserError
from userllm.config import Settings

S = TypeVar("S", bound=Settings)

_SHOWN = 80
_LARGEST = 2**63 - 1


def shown(value: object) -> str:
    """A value in one line, cut where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def check_kind(name: str, value: object, kind: type, wanted: str) -> None:
    """Refuses what is not of a kind.

    Args:
        name: Of the argument.
        value: What was given.
        kind: What it has to be.
        wanted: How to get one, or what it is.

    Raises:
        UserError: It is something else.
    """
    if not isinstance(value, kind):
        raise UserError(f"{name}={shown(value)}: {wanted} is needed")


def whole_number(name: str, value: Any, least: int) -> int:
    """A whole number that fits into 64 bits; NumPy's and torch's count too.

    Raises:
        UserError: It is none, or below the least.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not least <= number <= _LARGEST:
        wanted = f"a whole number from {least} to {_LARGEST}"
        raise UserError(f"{name}={shown(value)}: {wanted} is needed")
    return number


def settings_of(kind: type[S], name: str, given: S | Mapping[str, Any] | None) -> S:
    """Settings as given, of a mapping of their fields, or the defaults.

    Args:
        kind: What they are settings of.
        name: Of the argument.
        given: Settings, fields that are to differ from the defaults, or None.

    Raises:
        UserError: An unknown field, a bad value, or something else than settings.
    """
    if isinstance(given, kind):
        return given
    if given is None or isinstance(given, Mapping):
        return kind(**{str(key): value for key, value in (given or {}).items()})
    raise UserError(f"{name}={shown(given)}: {kind.__name__} is needed")


def folder_of(name: str, given: Any) -> Path:
    """A folder by its path, `~` written out.

    Raises:
        UserError: It is no path.
    """
    path = fspath(given) if isinstance(given, (str, PathLike)) else None
    if not isinstance(path, str) or "\0" in path:
        raise UserError(f"{name}={shown(given)}: the path of a folder is needed")
    return Path(path).expanduser()
