"""What was so about an example before anybody answered: columns that slices are made of."""

from __future__ import annotations

import numpy as np
import polars as pl

from benchmark.data.encoding import count
from benchmark.data.histories import Examples
from benchmark.protocols import TrainingData

HISTORY_EVENTS = "history_events"
GAP_SECONDS = "gap_seconds"
TARGET_POPULARITY = "target_popularity"
HISTORY_POPULARITY = "history_popularity"
RANKED_POPULARITY = "ranked_popularity"
CUT = 10
"""Items of a ranking whose popularity is looked at."""


def popularity(train: TrainingData) -> np.ndarray:
    """Training events of each item, `[N + 1]`; index 0 stands for none."""
    met = count(train.events.items, train.schema.num_items)
    met[0] = 0
    return met


def circumstances(examples: Examples, train: TrainingData) -> pl.DataFrame:
    """Columns known before an answer, one row an example.

    `history_events` counts all events before the target, also beyond what a method reads;
    `gap_seconds` is the time from the last of them to the target's first event;
    `target_popularity` counts the training events of the target's first item, 0 = cold.

    Args:
        examples: What is asked.
        train: What methods learnt from.
    """
    times = examples.log.timestamps
    gaps = times[examples.stops] - times[np.maximum(examples.stops - 1, examples.starts)]
    return pl.DataFrame(
        {
            HISTORY_EVENTS: pl.Series(examples.stops - examples.starts, dtype=pl.Int64),
            GAP_SECONDS: pl.Series(gaps, dtype=pl.Int64),
            TARGET_POPULARITY: pl.Series(popularity(train)[examples.targets], dtype=pl.Int64),
        }
    )


def popularity_of_lists(
    examples: Examples, ranked: np.ndarray, train: TrainingData
) -> pl.DataFrame:
    """How popular what a user met and what was ranked first is, one row an example.

    Both columns are mean training events an item: of the whole history, and of the first `CUT`
    ranked items; null where a list is empty.

    Args:
        examples: What was asked.
        ranked: `[n, K]` item ids, best first, 0 = none.
        train: What methods learnt from.
    """
    met = popularity(train).astype(np.float64)
    of_events = np.concatenate([[0.0], np.cumsum(met[examples.log.items])])
    lengths = examples.stops - examples.starts
    histories = (of_events[examples.stops] - of_events[examples.starts]) / np.maximum(lengths, 1)
    first = ranked[:, :CUT]
    shown = np.where((first > 0).any(axis=1), (first > 0).sum(axis=1), np.nan)
    lists = met[first].sum(axis=1) / shown
    return pl.DataFrame(
        {
            HISTORY_POPULARITY: pl.Series(histories, dtype=pl.Float64),
            RANKED_POPULARITY: pl.Series(lists, dtype=pl.Float64).fill_nan(None),
        }
    )
