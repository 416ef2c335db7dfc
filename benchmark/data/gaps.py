"""Time gaps: how long after a user's previous event an event happened, in fixed buckets."""

from __future__ import annotations

import numpy as np

from benchmark.schema import GAP, number

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

GAP_FEATURE = number(
    GAP,
    (1, _MINUTE, 10 * _MINUTE, _HOUR, 6 * _HOUR, _DAY, 7 * _DAY, 30 * _DAY, 365 * _DAY),
    derived=True,
    labels=(
        "at once",
        "within a minute",
        "within 10 minutes",
        "within an hour",
        "within 6 hours",
        "within a day",
        "within a week",
        "within a month",
        "within a year",
        "after more than a year",
    ),
)
"""The same for every data set; unknown (0) at a user's first event."""


def gap_column(timestamps: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """Buckets of the seconds since the same user's previous event, `[events]`.

    An event's bucket depends on that event and the one before alone, so that what a split cuts
    off has no say in what is left.

    Args:
        timestamps: `[events]` seconds, ascending within a user.
        indptr: `[U + 1]`, see `EventLog`.
    """
    seconds = np.diff(timestamps.astype(np.int64, copy=False).view(np.uint64))
    buckets = np.ones(len(timestamps), dtype=np.uint8)
    for edge in GAP_FEATURE.edges:  # few: to compare with each is faster than to search
        buckets[1:] += seconds >= np.uint64(edge)
    buckets[indptr[:-1][np.diff(indptr) > 0]] = 0
    return buckets.astype(np.int32)
