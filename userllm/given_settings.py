"""Settings as people write them: completed by their defaults, and in one line what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from benchmark.errors import UserError, describe_error, unknown


def completed(kind: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values whose nested mappings keep what the outer default says of fields they do not name.

    Args:
        kind: What is to be built of them.
        values: Fields, nested ones as mappings or settings.
    """
    return _over({name: field.default for name, field in kind.model_fields.items()}, values)


def _over(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(values)
    for name, value in values.items():
        default = defaults.get(name)
        if isinstance(default, BaseModel) and isinstance(value, Mapping):
            inner = dict(default)
            whole[name] = inner | _over(inner, value)
    return whole


def refused(kind: type[BaseModel], error: ValidationError) -> UserError:
    """The first of what pydantic found wrong, in one line.

    Args:
        kind: What was to be built.
        error: What pydantic says.
    """
    first = error.errors(include_url=False)[0]
    if first["type"] != "extra_forbidden":
        return UserError(" ".join(describe_error(first, kind.__name__).split()))
    *outer, name = map(str, first["loc"])
    where: Any = kind
    for part in outer:
        where = where.model_fields[part].annotation
    valid = (".".join([*outer, field]) for field in where.model_fields)
    return unknown(f"setting of {kind.__name__}:", ".".join([*outer, name]), valid)
