"""What the columns of the user's own file mean: `columns.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from benchmark.errors import UserError
from benchmark.schema import GAP, ITEM, SUMMARY, TEXT, TIMESTAMP, USER
from benchmark.settings import build, parse_yaml

COLUMNS_FILE = "columns.yaml"
RESERVED = (USER, ITEM, TIMESTAMP, TEXT, SUMMARY, GAP)
"""Names of columns that a data set has anyway: no feature can be called so."""


def _plain(key: str) -> BeforeValidator:
    """Lets a bare string stand for a mapping with one key."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TimeColumn(_Strict):
    """Where the time of an event stands."""

    column: str = Field(description="name of the column")
    unit: Literal["s", "ms", "iso"] | None = Field(
        None, description="seconds or milliseconds since 1970, or ISO 8601; null = by its looks"
    )


class FeatureColumn(_Strict):
    """A column that is a feature."""

    kind: Literal["category", "multi", "number"] = Field(
        description="one of few values, several of few, or a number"
    )
    name: str = Field("", description="name of the feature; the column's where empty")
    separator: str = Field("|", min_length=1, description="what stands between several values")
    most: int = Field(
        256, ge=1, description="values that are told apart, the most frequent ones; others count"
        " as unknown",
    )  # fmt: skip
    edges: list[float] = Field(
        [], description="where a number's buckets meet, ascending; empty = 0, 1, 2, 5, 10, 20, ..."
    )

    @model_validator(mode="after")
    def _fitting(self) -> FeatureColumn:
        if self.edges and self.kind != "number":
            raise ValueError(f"a {self.kind} has no edges: they are of the kind number")
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges must ascend")
        return self


Features = dict[str, Annotated[FeatureColumn, _plain("kind")]]


class Columns(_Strict):
    """What the columns of a file of interactions mean, one row an event."""

    user: str = Field(description="column of the user's id")
    item: str = Field(description="column of the item's id")
    timestamp: Annotated[TimeColumn, _plain("column")] | None = Field(
        None, description="column of the time, or its `column` and `unit`; null = rows are in order"
    )
    title: str | None = Field(None, description="column of what the item is called")
    text: str | None = Field(None, description="column of what the user wrote")
    summary: str | None = Field(None, description="column of its headline")
    features: Features = Field(
        default_factory=dict, description="columns that every event has its own value of: kind"
    )
    item_features: Features = Field(
        default_factory=dict, description="columns that follow from the item: kind"
    )
    label: str | None = Field(
        None, description="which of the item features `favorite_genre` asks about, a multi one"
    )
    separator: str | None = Field(
        None, min_length=1, max_length=1, description="between the fields of a CSV file; null = a"
        " comma, in a .tsv file a tab",
    )  # fmt: skip
    encoding: str = Field("utf-8", description="of a CSV file")
    duplicates: Literal["drop", "keep"] = Field(
        "drop", description="what to do with rows that are the same in all mapped columns; without"
        " a timestamp they are always kept",
    )  # fmt: skip

    @model_validator(mode="after")
    def _consistent(self) -> Columns:
        mapped = [self.user, self.item, *([self.timestamp.column] if self.timestamp else [])]
        if len(set(mapped)) < len(mapped):
            raise ValueError(f"user, item and timestamp must be different columns, got {mapped}")
        names = [*feature_names(self.features), *feature_names(self.item_features)]
        for name in names:
            if name in RESERVED:
                raise ValueError(
                    f"no feature can be called {name!r}: give it another with"
                    f" {{kind: ..., name: my_{name}}}"
                )
            if names.count(name) > 1:
                raise ValueError(f"two features are called {name!r}")
        multi = [
            name
            for name, feature in feature_names(self.item_features).items()
            if feature.kind == "multi"
        ]
        if self.label is not None and self.label not in multi:
            raise ValueError(
                f"label must be one of the item_features of kind multi (which may have a single"
                f" value each): {', '.join(multi) or 'there is none'}"
            )
        return self

    @property
    def wanted(self) -> list[str]:
        """Every column that is read, each once, in the order of the mapping."""
        time = None if self.timestamp is None else self.timestamp.column
        named = [self.user, self.item, time, self.title, self.text, self.summary]
        found = [name for name in named if name is not None]
        return list(dict.fromkeys([*found, *self.features, *self.item_features]))

    @property
    def several(self) -> dict[str, str]:
        """Columns with several values a row, and what stands between them."""
        both = {**self.features, **self.item_features}
        return {name: f.separator for name, f in both.items() if f.kind == "multi"}

    def place(self, column: str) -> str:
        """What a column is mapped to, for errors: `user`, `item_features.genres`."""
        for key, value in self:
            if value == column or (isinstance(value, TimeColumn) and value.column == column):
                return str(key)
            if isinstance(value, dict) and column in value:
                return f"{key}.{column}"
        return column


def feature_names(features: Features) -> dict[str, FeatureColumn]:
    """Features by the name that they have in the data set."""
    return {feature.name or column: feature for column, feature in features.items()}


def read_columns(path: Path) -> Columns:
    """Reads and checks a `columns.yaml`.

    Raises:
        UserError: It is not there, is no YAML, or maps nothing that can be.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error.reason}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    values: Any = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        raise UserError(f"{path}: write one `key: column` a line, e.g. `user: user_id`")
    return build(Columns, values, path.name)
