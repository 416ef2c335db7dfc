"""Settings of methods and tasks: read, merged and checked, with errors that say what is right."""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from benchmark.errors import UserError, describe_error, unknown

Nested = Mapping[str, Any]
M = TypeVar("M", bound=BaseModel)


_DEEPEST = 50
"""Levels of nesting."""
_MOST_VALUES = 1_000_000
"""Values of a document, where what an alias stands for counts each time."""
_DAMAGE = (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What PyYAML raises; other than its own it means a value, for example the 32nd of a month."""


class _Loader(yaml.SafeLoader):
    """YAML that reads `1e-3` as a number, as YAML 1.2 does, and refuses a key given twice.

    Documents that are made to fill the memory are refused before they do.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        alias = self.check_event(yaml.AliasEvent)
        if self._depth == _DEEPEST:
            raise yaml.composer.ComposerError(None, None, f"more than {_DEEPEST} levels deep", mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if not alias:
            parts = [node.value] if isinstance(node, yaml.MappingNode) else []
            inner = [own for pairs in parts for pair in pairs for own in pair]
            inner += node.value if isinstance(node, yaml.SequenceNode) else []
            self._sizes[id(node)] = 1 + sum(self._sizes[id(own)] for own in inner)
        if self._sizes.get(id(node), _MOST_VALUES) >= _MOST_VALUES:  # none yet: inside itself
            raise yaml.composer.ComposerError(None, None, "too many values", mark)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return dict(super().construct_mapping(node, deep=deep))


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, where: str) -> Any:
    """Reads YAML; `UserError` with the place where it is broken."""
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except _DAMAGE as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        if not isinstance(error, yaml.YAMLError):
            problem = f"a value cannot be read ({' '.join(str(error).split())})"
        raise UserError(f"{where}{place}: not valid YAML: {problem}") from None


def parse_assignment(text: str) -> tuple[str, dict[str, Any]]:
    """Reads `<name>.<field>[.<sub>]=value` into the name and the nested value."""
    path, equals, value = text.partition("=")
    section, *fields = path.strip().split(".")
    if not equals or not section or not fields or not all(fields):
        raise UserError(f"--set {text!r}: write <name>.<field>=value, e.g. user_llm.strategy=lora")
    nested: Any = parse_yaml(value, f"--set {text!r}:")
    for field in reversed(fields):
        nested = {field: nested}
    return section, nested


def merge(*layers: Nested) -> dict[str, Any]:
    """Merges nested mappings; a later value wins."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = merged.get(key)
            both = isinstance(old, Mapping) and isinstance(value, Mapping)
            merged[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def flatten(nested: Nested, prefix: str = "") -> dict[str, Any]:
    """Dotted name → value of every leaf."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def nest(flat: Nested) -> dict[str, Any]:
    """Dotted name → value as nested mappings."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        for part in reversed(name.split(".")):
            value = {part: value}
        nested = merge(nested, value)
    return nested


def check_names(model: type[BaseModel], values: object, where: str) -> None:
    """Raises `UserError` for a field that the model does not have, at any depth."""
    if not isinstance(values, Mapping):
        raise UserError(f"{where} needs fields with values, got {values!r}")
    for key, value in values.items():
        name = str(key)
        if name not in model.model_fields:
            valid = [f"{where}.{field}" for field in model.model_fields]
            raise unknown("setting", f"{where}.{name}", valid)
        nested = _nested_model(model.model_fields[name].annotation)
        if nested is not None and isinstance(value, Mapping):
            check_names(nested, value, f"{where}.{name}")


def build(model: type[M], values: object, where: str) -> M:
    """Builds a settings model.

    Args:
        model: What to build.
        values: Nested values, as YAML gives them.
        where: What error messages call it, for example `user_llm`.

    Raises:
        UserError: Unknown field, wrong type, value out of range or not finite.
    """
    check_names(model, values, where)
    _check_finite(values, where)
    if isinstance(values, Mapping):
        values = _over_defaults(model, values)
    try:
        # Strict JSON: a list may become a tuple and a string an enum, but "5" or true is no number.
        return model.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise UserError(describe_error(error.errors()[0], where)) from None


def _check_finite(values: object, where: str) -> None:
    """Raises `UserError` for an infinite number or NaN, at any depth: no setting can be one."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            _check_finite(value, f"{where}.{key}")
    elif isinstance(values, list | tuple):
        for value in values:
            _check_finite(value, where)
    elif isinstance(values, float) and not math.isfinite(values):
        raise UserError(f"{where}: should be a finite number, got {values}")


def _over_defaults(model: type[BaseModel], values: Nested) -> dict[str, Any]:
    """Values whose nested part keeps what the outer model's default says of the other fields."""
    whole = dict(values)
    for key, value in values.items():
        default = model.model_fields[str(key)].default
        if isinstance(default, BaseModel) and isinstance(value, Mapping):
            whole[key] = merge(default.model_dump(mode="json"), value)
    return whole


def describe_fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Dotted name, default as YAML and description of every setting, words to choose from first."""
    for name, info in model.model_fields.items():
        nested = _nested_model(info.annotation)
        default = None if info.default is PydanticUndefined else info.default
        if info.default_factory is not None:
            default = info.get_default(call_default_factory=True, validated_data={})
        if nested is not None and isinstance(default, BaseModel):
            yield from _described(nested, default, f"{prefix}{name}.")
        else:
            said = (" | ".join(_words(info.annotation)), info.description or "")
            yield f"{prefix}{name}", _as_yaml(default), ": ".join(filter(None, said))


def _described(
    model: type[BaseModel], defaults: BaseModel, prefix: str
) -> Iterator[tuple[str, str, str]]:
    """Like `describe_fields`, with the defaults that the outer model gives."""
    given = {key: _as_yaml(value) for key, value in flatten(defaults.model_dump()).items()}
    for name, default, description in describe_fields(model, ""):
        yield f"{prefix}{name}", given.get(name, default), description


def _words(annotation: object) -> Iterator[str]:
    """What a setting of `Literal`, alone or in a union, may be."""
    for kind in get_args(annotation):
        if get_origin(annotation) is Literal:
            yield str(kind)
        else:
            yield from _words(kind)


def _as_yaml(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = list(value)
    return json.dumps(value, default=str)


def _nested_model(annotation: object) -> type[BaseModel] | None:
    """The model behind `Model` or `Model | None`; a dict or tuple of models is none."""
    union = get_origin(annotation) in (Union, types.UnionType)
    for kind in get_args(annotation) if union else (annotation,):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None
