"""Values of features as plain Python has them: which there are, and their indices."""

from __future__ import annotations

import contextlib
import difflib
import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np

from benchmark.errors import UserError
from benchmark.schema import ITEM, Feature, FeatureKind, IdMap

_SHOWN = 12
_UNKNOWN = ("NAType", "NaTType")
"""What pandas calls the kinds of what is not there; nobody needs pandas to have none of it."""


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> UserError:
    """As `benchmark.errors.unknown`, but a catalogue's names would not fit on a line."""
    names = list(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    shown = ", ".join(names[:_SHOWN]) + (f", ... ({len(names)})" if len(names) > _SHOWN else "")
    return UserError(f"unknown {kind} {name!r}; {hint}valid: {shown}")


def is_unknown(value: Any) -> bool:
    """Whether a value says nothing: None, or NaN, NA and NaT, as tables have it."""
    if isinstance(value, (float, np.floating)):
        return math.isnan(value)
    return value is None or type(value).__name__ in _UNKNOWN


def inferred_feature(name: str, values: Sequence[Any], *, of_item: bool) -> Feature:
    """A feature whose values are those that occur, in their natural order.

    Raises:
        UserError: There is no value.
    """
    several = any(_is_several(value) for value in values)
    each = [[_label(part) for part in _parts(value)] for value in values]
    labels = tuple(sorted({label for row in each for label in row}, key=_natural))
    if not labels:
        raise UserError(f"feature {name!r} has no value anywhere: leave it out")
    kind = FeatureKind.MULTI if several else FeatureKind.CATEGORY
    width = max(len(row) for row in each) if several else 1
    return Feature(name, kind, len(labels), of_item, width, labels)


def _natural(label: str) -> tuple[float, str]:
    try:
        number = float(label)
    except ValueError:
        number = math.inf
    return (number if math.isfinite(number) else math.inf), label


def _is_several(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset))


def _parts(value: Any) -> list[Any]:
    """What a value holds and is known, sets in one order."""
    parts = [each for each in (value if _is_several(value) else [value]) if not is_unknown(each)]
    return sorted(parts, key=_label) if isinstance(value, (set, frozenset)) else parts


def _label(value: Any) -> str:
    """How a value is written: as Python does, but 5.0 as 5, for tables turn one into the other."""
    return str(int(value)) if _is_whole(value) else str(value)


def _is_whole(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool)
    return isinstance(value, Real) and float(value).is_integer()


def _index(ids: IdMap, value: Any) -> int:
    """The index of a value; KeyError where it is unknown.

    A whole number is also found as it was written before it was always written as an integer, or
    by whoever wrote the labels.
    """
    names = [str(value)]
    if _is_whole(value):
        names += [str(int(value)), f"{int(value)}.0"]
    for name in names:
        with contextlib.suppress(KeyError):
            return ids.to_internal(name)
    raise KeyError(value)


def encode_values(feature: Feature, values: Sequence[Any], ids: IdMap | None = None) -> np.ndarray:
    """Indices `[n]`, or `[n, V]` of a multi-valued feature; 0 where a value is unknown.

    Args:
        feature: What its values may be: its labels, or 1 to its cardinality; or numbers.
        values: One a row; a list, tuple or set of a multi-valued feature.
        ids: Names of the values in the labels' stead.

    Raises:
        UserError: An unknown value, or too many in a row.
    """
    if feature.kind is FeatureKind.NUMBER:
        try:
            return feature.bucket(np.array([np.nan if v is None else v for v in values], float))
        except (TypeError, ValueError) as error:
            raise UserError(f"{feature.name!r} must hold numbers ({error})") from error
    if ids is None:
        # Without names a value is its own index.
        own = feature.labels or tuple(map(str, range(1, feature.cardinality + 1)))
        ids = IdMap(own, checked=True)
    codes = np.zeros((len(values), feature.width), dtype=np.int64)
    for row, value in enumerate(values):
        if _is_several(value) and feature.kind is not FeatureKind.MULTI:
            raise UserError(f"{feature.name!r} has one value, not {value!r}")
        parts = _parts(value)
        if len(parts) > feature.width:
            labels = list(map(_label, parts))
            raise UserError(f"{feature.name!r} has more than {feature.width} values: {labels}")
        for place, part in enumerate(parts):
            try:
                codes[row, place] = _index(ids, part)
            except KeyError:
                kind = ITEM if feature.name == ITEM else f"value of {feature.name!r}"
                raise unknown_name(kind, _label(part), ids.external_ids) from None
    return codes if feature.kind is FeatureKind.MULTI else codes[:, 0]
