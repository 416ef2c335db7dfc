"""Names and meaning of columns: the part of a data set that models are built from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import Enum

from benchmark.errors import unknown

USER = "user"
ITEM = "item"
TIMESTAMP = "timestamp"
TEXT = "text"

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
    """

    name: str
    kind: FeatureKind
    cardinality: int
    of_item: bool = False
    width: int = 1
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.cardinality < 1 or self.width < 1:
            raise ValueError(f"feature {self.name!r}: cardinality and width must be at least 1")
        if self.width > 1 and self.kind is not FeatureKind.MULTI:
            raise ValueError(f"feature {self.name!r}: only a multi-valued feature has a width")
        if self.labels and len(self.labels) != self.cardinality:
            raise ValueError(f"feature {self.name!r}: one label a value is needed")


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
        return [{**asdict(f), "kind": f.kind.value, "labels": list(f.labels)} for f in self]

    @classmethod
    def from_json(cls, rows: Iterable[dict[str, object]]) -> FeatureSchema:
        """Builds a schema from what `to_json` wrote."""
        features = []
        for row in rows:
            fields = dict(row)
            fields["kind"] = FeatureKind(fields["kind"])
            labels = fields.get("labels")
            fields["labels"] = tuple(labels) if isinstance(labels, list) else ()
            features.append(Feature(**fields))  # type: ignore[arg-type]
        return cls(tuple(features))

    def fingerprint(self) -> str:
        """SHA-256 of the schema, hexadecimal."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()


class IdMap:
    """External ids and their internal indices 1..n, in the order given.

    Args:
        external: The external ids, each once; the first becomes index 1.

    Raises:
        ValueError: An id stands twice.
    """

    def __init__(self, external: Iterable[str]) -> None:
        self._external = tuple(external)
        self._internal = {name: index for index, name in enumerate(self._external, start=1)}
        if len(self._internal) != len(self._external):
            raise ValueError("an external id stands twice")

    def __len__(self) -> int:
        return len(self._external)

    @property
    def external_ids(self) -> tuple[str, ...]:
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
