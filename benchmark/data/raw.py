"""What a family's reader hands on: checked frames, with what it met on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from benchmark.schema import Feature


class PrepareSettings(BaseModel):
    """What of a publisher's files goes into a prepared data set.

    The study publishes no filter of its own, so nothing is left out by default but users too
    short to be asked anything.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    minimum_history: int = Field(
        3, ge=1, description="users with fewer events are left out; 3 = history, validation, test"
    )
    minimum_rating: float | None = Field(
        None, description="events with a lower rating are left out; null = none are"
    )
    k_core: int = Field(
        0, ge=0, description="users and items with fewer events are left out, again and again, "
        "until none has; 0 = off"
    )  # fmt: skip
    broken: float = Field(
        0.01, ge=0, le=1, description="share of a file's lines that may be broken and skipped"
    )


@dataclass(frozen=True)
class Raw:
    """A data set as its files say it.

    Attributes:
        events: Columns `user`, `item`, `timestamp` (whole seconds), one a feature that is not of
            the item, and `text` and `summary` where users wrote something. In file order. Users
            and items may be of any type that has an order; features are as `build_dataset` takes
            them.
        catalog: Columns `item`, `text` (null where nothing is known of it) and one a feature of
            the item. Items that it lacks are added, with their id as their text.
        features: The features beside the item.
        label_feature: The item feature that `favorite_genre` asks about, "" where there is none.
        counts: What was skipped or changed, by reason (`broken lines`, `exact duplicates`, ...).
        notes: Lines that a reader of results should see.
    """

    events: pl.DataFrame
    catalog: pl.DataFrame
    features: tuple[Feature, ...]
    label_feature: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Reader(Protocol):
    """Reads one family's files: the target of a `DatasetEntry` that is not embedded."""

    def __call__(self, name: str, source: Path, settings: PrepareSettings) -> Raw:
        """Reads the files of one data set.

        Args:
            name: The data set, e.g. `amazon-2018/Gift_Cards`.
            source: An archive, a file, or a folder with either, as the publisher gives them.
            settings: How many broken lines to bear; the filters are applied later.

        Raises:
            UserError: The files are not those of this data set, or too broken.
        """
        ...
