"""Names and meaning of columns: the part of a data set that models are built from."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np

from benchmark.errors import unknown

USER = "user"
ITEM = "item"
TIMESTAMP = "timestamp"
TEXT = "text"
SUMMARY = "summary"
GAP = "gap"

PADDING = 0
"""Index that stands for "no event" or "value unknown" in every feature; real values start at 1."""


class FeatureKind(str, Enum):
    """What one value of a feature is, which decides its embedding and its reconstruction loss."""

    ID = "id"
    """One of very many; the item itself."""
    CATEGORY = "category"
    """One of few: a rating, a bucket of years."""
    MULTI = "multi"
    """Several of few: the genres of a movie."""
    NUMBER = "number"
    """A number, known by the bucket it falls in; neighbouring buckets are alike."""


@dataclass(frozen=True)
class Feature:
    """One feature of an event.

    Attributes:
        name: Column name.
        kind: See `FeatureKind`.
        cardinality: Number of real values; indices run from 1 to `cardinality`, 0 is padding.
        of_item: True where the value follows from the item (genres, year), False where every
            event has its own (rating).
        width: Most values one event can have; 1 unless `kind` is `MULTI`.
        labels: Readable names of the values 1..cardinality, or empty.
        edges: Where a number's buckets meet, ascending; an edge belongs to the bucket above it.
            Fixed beforehand, so that no held-out event has a say in them.
        derived: True where the value follows from other columns of the log; models read it only
            where they are asked to.
    """

    name: str
    kind: FeatureKind
    cardinality: int
    of_item: bool = False
    width: int = 1
    labels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    derived: bool = False

    def __post_init__(self) -> None:
        if self.cardinality < 1 or self.width < 1:
            raise ValueError(f"feature {self.name!r}: cardinality and width must be at least 1")
        if self.width > 1 and self.kind is not FeatureKind.MULTI:
            raise ValueError(f"feature {self.name!r}: only a multi-valued feature has a width")
        if self.labels and len(self.labels) != self.cardinality:
            raise ValueError(f"feature {self.name!r}: one label a value is needed")
        if self.kind is FeatureKind.NUMBER:
            if self.cardinality != len(self.edges) + 1:
                raise ValueError(f"feature {self.name!r}: n edges make n + 1 buckets")
            if not all(map(math.isfinite, self.edges)):
                raise ValueError(f"feature {self.name!r}: the edges must be finite")
            if not all(low < high for low, high in itertools.pairwise(self.edges)):
                raise ValueError(f"feature {self.name!r}: the edges must ascend")
        elif self.edges:
            raise ValueError(f"feature {self.name!r}: only a number has edges")

    def bucket(self, values: np.ndarray) -> np.ndarray:
        """Buckets 1..cardinality of numbers, as `int32`; 0 where a value is NaN."""
        numbers = np.asarray(values, dtype=np.float64)
        buckets = np.searchsorted(self.edges, numbers, side="right") + 1
        return np.where(np.isnan(numbers), PADDING, buckets).astype(np.int32)

    def to_json(self) -> dict[str, object]:
        """A JSON-ready description; what says nothing is left out."""
        row = {**asdict(self), "kind": self.kind.value, "labels": list(self.labels)}
        row["edges"] = list(self.edges)
        return {name: value for name, value in row.items() if value or name not in _OPTIONAL}


_OPTIONAL = ("edges", "derived")


def number(name: str, edges: Sequence[float], **facts: Any) -> Feature:
    """A feature of kind `NUMBER` with the buckets that its edges make."""
    return Feature(name, FeatureKind.NUMBER, len(edges) + 1, edges=tuple(edges), **facts)


@dataclass(frozen=True)
class FeatureSchema:
    """The features of a data set's events; the item is always the first."""

    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        if not names or names[0] != ITEM:
            raise ValueError(f"the first feature must be {ITEM!r}, got {names[:1]}")
        if len(set(names)) != len(names):
            raise ValueError(f"a feature is named twice: {names}")

    def __iter__(self) -> Iterator[Feature]:
        return iter(self.features)

    def __getitem__(self, name: str) -> Feature:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise unknown("feature", name, self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def num_items(self) -> int:
        """Number of items in the catalogue, padding not counted."""
        return self.features[0].cardinality

    @property
    def given(self) -> FeatureSchema:
        """The schema without derived features: what a model sees unless it is asked for more."""
        return FeatureSchema(tuple(f for f in self.features if not f.derived))

    def subset(self, names: Sequence[str]) -> FeatureSchema:
        """The schema of some features, in this schema's order; the item always stays.

        Raises:
            UserError: A name that is no feature.
        """
        for name in names:
            self[name]
        return FeatureSchema(tuple(f for f in self.features if f.name == ITEM or f.name in names))

    def to_json(self) -> list[dict[str, object]]:
        """A JSON-ready description, the inverse of `from_json`."""
        return [feature.to_json() for feature in self]

    @classmethod
    def from_json(cls, rows: Iterable[dict[str, object]]) -> FeatureSchema:
        """Builds a schema from what `to_json` wrote."""
        features = []
        for row in rows:
            fields = dict(row)
            fields["kind"] = FeatureKind(fields["kind"])
            for name in ("labels", "edges"):
                values = fields.get(name)
                fields[name] = tuple(values) if isinstance(values, list) else ()
            features.append(Feature(**fields))  # type: ignore[arg-type]
        return cls(tuple(features))

    def fingerprint(self) -> str:
        """SHA-256 of the schema, hexadecimal."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()


class IdMap:
    """External ids and their internal indices 1..n, in the order given.

    Args:
        external: The external ids, each once; the first becomes index 1.
        checked: Whether they are known to differ; then nothing is read before it is asked for.

    Raises:
        ValueError: An id stands twice.
    """

    def __init__(self, external: Iterable[str], *, checked: bool = False) -> None:
        self._external: Sequence[str] = external if checked else tuple(external)  # type: ignore[assignment]
        if not checked and len(self._internal) != len(self._external):
            raise ValueError("an external id stands twice")

    @cached_property
    def _internal(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self._external, start=1)}

    def __len__(self) -> int:
        return len(self._external)

    @property
    def external_ids(self) -> Sequence[str]:
        """All external ids; position p has the internal index p + 1."""
        return self._external

    def to_external(self, index: int) -> str:
        """The external id of an internal index in 1..n."""
        if not 1 <= index <= len(self._external):
            raise KeyError(index)
        return self._external[index - 1]

    def to_internal(self, name: str) -> int:
        """The internal index of an external id; KeyError where it is unknown."""
        return self._internal[name]
