"""What is told of an event before its review is to be written, the same for every method."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import overload

import numpy as np
import polars as pl

from benchmark.data.item_texts import WORDS
from benchmark.events import EventLog
from benchmark.schema import SUMMARY, TEXT, Feature, FeatureKind
from benchmark.types import SUMMARIES, Catalog

RATING = "rating"
SEPARATOR = " | "
ENDINGS = {TEXT: "Review:", SUMMARY: "Summary:"}
"""How a prompt ends, by the field that is asked for."""


class Prompts(Sequence[str]):
    """Prompts `<item text> | <rating> stars | Review:` of some events, made when they are read.

    What is not known is left out: an item that has nothing but an id, a data set without ratings,
    an event without one.

    Args:
        catalog: Texts of the items.
        log: The events.
        positions: `[n]` which of them.
        field: What is asked for.
        untold: `BoolArray[n]`, True = leave the item's text out; None = nowhere.
    """

    def __init__(
        self,
        catalog: Catalog,
        log: EventLog,
        positions: np.ndarray,
        field: str,
        untold: np.ndarray | None = None,
    ) -> None:
        self._catalog = catalog
        self._items = log.items[positions]
        self._untold = np.zeros(len(positions), dtype=bool) if untold is None else untold
        self._ratings: np.ndarray | None = None
        if RATING in log.columns and log.schema[RATING].kind is not FeatureKind.MULTI:
            self._ratings = log.columns[RATING][positions]
            self._stars = ratings_in_words(log.schema[RATING])
        self._ending = ENDINGS[field]

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        """One prompt, or a list of some."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]  # an index of its own kind, or an error of its kind
        parts = ["" if self._untold[place] else item_text(self._catalog, int(self._items[place]))]
        if self._ratings is not None:
            parts.append(self._stars[int(self._ratings[place])])
        return SEPARATOR.join([*(part for part in parts if part), self._ending])


def item_text(catalog: Catalog, item: int) -> str:
    """What is known of an item, "" where that is its id alone."""
    return catalog.texts[item] if catalog.named[item] else ""


def ratings_in_words(feature: Feature) -> list[str]:
    """What a prompt says of each value of a rating, 0 = unknown first."""
    if feature.kind is FeatureKind.NUMBER:
        edges = [f"{edge:g}" for edge in feature.edges]
        between = [f"rating {low} to {high}" for low, high in itertools.pairwise(edges)]
        return ["", f"rating below {edges[0]}", *between, f"rating {edges[-1]} or more"]
    return ["", *map(_in_words, feature.labels)]


def _in_words(label: str) -> str:
    number = label.removesuffix(".0")
    if not number.replace(".", "", 1).isdecimal():
        return f"rating {label}"
    return f"{number} star" if number == "1" else f"{number} stars"


def tells_itself(catalog: Catalog, log: EventLog) -> np.ndarray:
    """Which events an item's text is a quotation of: `BoolArray[events]`.

    Where items are called by what a training review says of them, the prompt of that very review
    would give away what is to be written; a method would learn to copy it, and at a target there
    is nothing to copy.

    Args:
        catalog: From `benchmark.data.item_texts.with_summaries`, or one with titles.
        log: The training events that it was made of.
    """
    field = next((name for name in (SUMMARY, TEXT) if name in log.written), None)
    if catalog.text_source != SUMMARIES or field is None:
        return np.zeros(log.num_events, dtype=bool)
    rows = pl.DataFrame({"item": log.items, "said": list(log.written[field])})
    said = pl.col("said").str.split(" ").list.eval(pl.element().filter(pl.element() != ""))
    called = pl.Series("called", catalog.texts).gather(rows["item"])
    rows = rows.with_columns(said.list.head(WORDS).list.join(" "), called)
    return rows.select(pl.col("said") == pl.col("called")).to_series().to_numpy().astype(bool)
