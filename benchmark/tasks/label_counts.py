"""What a label is, and which labels are the most frequent among some events."""

from __future__ import annotations

import numpy as np

from benchmark.goals import LabelNames
from benchmark.protocols import TrainingData
from benchmark.schema import PADDING

_CELLS = 8_000_000
"""Most counts that are held at a time."""


class LabelCounts:
    """Counts the labels of the items of events: every event counts each label of its item once.

    Args:
        train: Its label feature is a category or a multi-valued feature of the item.
    """

    def __init__(self, train: TrainingData) -> None:
        column = np.asarray(train.catalog.columns[train.label_feature])
        values = np.sort(column.reshape(len(column), -1), axis=1)
        values[:, 1:][values[:, 1:] == values[:, :-1]] = PADDING
        self.values = values
        self.count = train.schema[train.label_feature].cardinality

    def most_frequent(self, items: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
        """The most frequent labels among the events `start:stop`.

        Args:
            items: Internal item id of every event.
            starts: `[n]` positions in `items`.
            stops: `[n]` positions, exclusive.

        Returns:
            `BoolArray[n, C]`, True = no label is more frequent; several where labels are tied, none
            where no event has a label.
        """
        found = np.zeros((len(starts), self.count), dtype=bool)
        rows = max(1, _CELLS // (self.count + 1))
        for begin in range(0, len(starts), rows):
            part = slice(begin, begin + rows)
            counts = self._counts(items, starts[part], stops[part])
            most = counts.max(axis=1, keepdims=True)
            found[part] = (counts == most) & (most > 0)
        return found

    def _counts(self, items: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
        lengths = stops - starts
        owner = np.repeat(np.arange(len(starts)), lengths)
        before = np.cumsum(lengths) - lengths
        places = np.repeat(starts - before, lengths) + np.arange(len(owner))
        codes = owner[:, None] * (self.count + 1) + self.values[items[places]]
        counts = np.bincount(codes.ravel(), minlength=len(starts) * (self.count + 1))
        return counts.reshape(len(starts), self.count + 1)[:, 1:]


def label_names(train: TrainingData) -> LabelNames:
    """Names of the labels; index c of an answer is the value c + 1 of the label feature."""
    feature = train.schema[train.label_feature]
    return feature.labels or tuple(str(value) for value in range(1, feature.cardinality + 1))


def query_of(label_feature: str) -> str:
    """What asks a language model for the label.

    >>> query_of("genres"), query_of("categories"), query_of("main_class")
    ('Favourite genre:', 'Favourite category:', 'Favourite main class:')
    """
    one = label_feature.replace("_", " ")
    if one.endswith("ies"):
        one = one[:-3] + "y"
    elif one.endswith("s") and not one.endswith("ss"):
        one = one[:-1]
    return f"Favourite {one}:"


def drawn_places(
    indptr: np.ndarray, ahead: int, most: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Random places in users' events, with an event before them at least.

    Args:
        indptr: `[U + 1]`, see `EventLog`.
        ahead: Events of the user that must follow.
        most: Places drawn from a user, each at most once; all of them where there are no more.
        seed: Seed of drawing.

    Returns:
        Where the events of the place's user begin, and the place, `[n]` each, in order.
    """
    counts = np.maximum(np.diff(indptr) - ahead, 0)
    owner = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    order = np.lexsort((np.random.default_rng(seed).random(len(owner)), owner))
    chosen = np.sort(order[nth < most])  # sorted by owner, nth counts the user's draws
    begins = indptr[:-1][owner[chosen]]
    return begins, begins + 1 + nth[chosen]
