"""What fields a value has, for templates and for errors that name them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass

from benchmark.errors import nearest

_SHOWN = 24


def field_names(value: object) -> list[str]:
    """Names a template may use of a value: fields and properties, or the keys of a mapping."""
    if isinstance(value, Mapping):
        return [str(key) for key in value]
    kind = type(value)
    if is_dataclass(value):
        names = [own.name for own in fields(value)]
    else:
        names = list(getattr(kind, "model_fields", ()))
    for base in reversed(kind.__mro__[:-1]):
        if base.__module__.partition(".")[0] != "pydantic":
            names += [name for name, part in vars(base).items() if isinstance(part, property)]
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


def no_field(name: object, value: object) -> str:
    """The error for a field that a value has not, with those it has."""
    if value is None:
        return f"there is no field {name!r} of what is missing here (ask for it with 'if' first)"
    return no_name(name, described(value), field_names(value))


def no_name(name: object, owner: str, valid: Iterable[str]) -> str:
    """The error for a name nobody knows."""
    names = list(valid)
    near = nearest(str(name), names)
    if not names:
        return f"there is no field {name!r} of {owner}; it has none"
    listed = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"there is no field {name!r} of {owner}; it has {listed}" + (
        f" ({near})" if near else ""
    )


def described(value: object) -> str:
    """What kind of thing a value is, as `a row`, `an estimate`, `a list`."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, int | float):
        return "a number"
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", type(value).__name__.lstrip("_")).lower()
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
