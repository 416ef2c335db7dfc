"""What is left out of a data set because of its settings, and what is added to its catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from benchmark.data.arrays import let_go
from benchmark.data.encoding import count, number_in_order, pieces
from benchmark.data.raw import PrepareSettings, Raw
from benchmark.data.room import kept_rows
from benchmark.errors import UserError
from benchmark.schema import ITEM, TEXT, USER, Feature, FeatureKind
from benchmark.types import IDS, TITLES

RATING = "rating"
"""The feature that `minimum_rating` is about."""


@dataclass(frozen=True)
class Frames:
    """What is left of a `Raw`, ready for `build_dataset`.

    Attributes:
        events: Columns of the rows that stay, in file order.
        catalog: Has every item of the events, each with a text.
        text_source: `TITLES`, or `IDS` where no item has a text of its own.
        counts: What was left out or added here, by reason.
    """

    events: dict[str, pl.Series]
    catalog: pl.DataFrame
    text_source: str
    counts: Mapping[str, int]


def apply_filters(name: str, raw: Raw, settings: PrepareSettings) -> Frames:
    """Leaves out what the settings leave out, and completes the catalogue.

    Ratings come first; then users with too few events and, with a k-core, items with too few go
    together, again and again until none is left: whatever the order, what stays is the same.

    Raises:
        UserError: Nothing is left, or there are no ratings to go by.
    """
    counts: dict[str, int] = {}
    events = raw.events
    if events.is_empty():
        raise UserError(f"data set {name!r}: there are no events in the files")
    if settings.minimum_rating is not None:
        events, left_out = at_least_rated(name, events, raw.features, settings.minimum_rating)
        counts |= left_out
    of_user = max(settings.minimum_history, settings.k_core)
    if of_user > 1 or settings.k_core:
        keep, left_out = core(events[USER], events[ITEM], of_user, settings.k_core)
        events = events if keep.all() else kept_rows(events, keep)
        counts |= left_out
    if events.is_empty():
        asked = settings.model_dump(include={"minimum_history", "minimum_rating", "k_core"})
        given = {key: value for key, value in asked.items() if value}
        values = ", ".join(f"{key} {value}" for key, value in given.items())
        options = " or ".join(f"--{key.replace('_', '-')}" for key in given)
        raise UserError(
            f"data set {name!r}: none of {len(raw.events):,} events is left with {values}: "
            f"lower {options}"
        )
    catalog = raw.catalog
    if settings.k_core:
        met = events[ITEM].unique()
        met, ids = same_type(met, catalog[ITEM])
        catalog = catalog.filter(ids.is_in(met.implode()))
    events, catalog, text_source, added = complete(events, catalog)
    return Frames(events.to_dict(), catalog, text_source, {**counts, **added})


def at_least_rated(
    name: str, events: pl.DataFrame, features: tuple[Feature, ...], minimum: float
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Events with a rating that is not lower; one without a rating is not known to be.

    Raises:
        UserError: There is no rating, or it is no number.
    """
    kinds = {feature.name: feature.kind for feature in features if not feature.of_item}
    if kinds.get(RATING) not in (FeatureKind.CATEGORY, FeatureKind.NUMBER):
        raise UserError(f"data set {name!r}: minimum_rating needs a feature {RATING!r}")
    column = events[RATING]
    values = column if column.dtype.is_numeric() else column.cast(pl.String)
    numbers = values.cast(pl.Float64, strict=False).fill_nan(None)
    if numbers.null_count() == len(numbers):
        raise UserError(f"data set {name!r}: minimum_rating needs ratings that are numbers")
    lower = int((numbers < minimum).sum())
    return events.filter(numbers >= minimum), {
        "events below the minimum rating": lower,
        "events without a rating": numbers.null_count(),
    }


def core(
    users: pl.Series, items: pl.Series, of_user: int, of_item: int
) -> tuple[np.ndarray, dict[str, int]]:
    """Which events stay when users and items with too few events are left out until none has.

    Args:
        users: `[events]`.
        items: `[events]`.
        of_user: Fewest events of a user.
        of_item: Fewest events of an item; 0 = any.

    Returns:
        `BoolArray[events]`, and how many users, items and events were left out.
    """
    asked = {"users": (users, of_user), "items": (items, of_item)}
    keep = np.ones(len(users), dtype=bool)
    if all(_fewest(column) >= least for column, least in asked.values() if least > 1):
        return keep, {}
    sides = {
        what: (number_in_order(column)[1], least)
        for what, (column, least) in asked.items()
        if least > 1
    }
    left = -1
    while left != int(keep.sum()):
        left = int(keep.sum())
        for codes, least in sides.values():
            enough = _counts(codes, keep) >= least
            for rows in pieces(len(keep)):
                keep[rows] &= enough[codes[rows]]
            let_go([codes])
    left_out = {"events of users or items with too few events": len(keep) - left}
    for what, (codes, _) in sides.items():
        # Indices run from 1 without a gap; 0 is nobody's and has no events.
        gone = np.count_nonzero(_counts(codes, keep)[1:] == 0)
        left_out[f"{what} with too few events"] = int(gone)
    return keep, left_out


def _fewest(column: pl.Series) -> int:
    """Events of the user or item that has fewest."""
    fewest = column.unique_counts().min()
    return fewest if isinstance(fewest, int) else 0


def _counts(codes: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Events of each user or item that stay."""
    return count(codes, int(codes.max(initial=0)), keep)


def complete(
    events: pl.DataFrame, catalog: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, str, dict[str, int]]:
    """Adds items that the catalogue lacks, and gives items without a text their id as text.

    Args:
        events: Column `item` and others.
        catalog: Columns `item`, `text` and others.

    Returns:
        The events, the catalogue, what its texts are, and how many items had to be mended.
    """
    met, ids = same_type(events[ITEM].unique(maintain_order=True), catalog[ITEM])
    if ids.dtype == pl.String and events[ITEM].dtype != pl.String:
        events = events.with_columns(pl.col(ITEM).cast(pl.String))
    catalog = catalog.with_columns(ids.alias(ITEM), pl.col(TEXT).cast(pl.String))
    unknown = met.filter(~met.is_in(ids.implode()))
    if len(unknown):
        more = pl.DataFrame({ITEM: unknown})
        catalog = pl.concat([catalog, more], how="diagonal")
    # Python's idea of a space is that of `build_dataset`, polars' is a little narrower.
    texts = [(text or "").strip() for text in catalog[TEXT]]
    without = texts.count("")
    names = catalog[ITEM].cast(pl.String)
    mended = [text or name for text, name in zip(texts, names, strict=True)]
    titled = without < len(texts)
    return (
        events,
        catalog.with_columns(pl.Series(TEXT, mended, dtype=pl.String)),
        TITLES if titled else IDS,
        {
            "items that the catalogue lacks": len(unknown),
            "items without a title": without - len(unknown) if titled else 0,
        },
    )


def same_type(left: pl.Series, right: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Two columns of ids in one type: whole numbers where both are, else strings."""
    kind = pl.Int64 if left.dtype.is_integer() and right.dtype.is_integer() else pl.String
    return left.cast(kind), right.cast(kind)
