"""Ratings of any number in the layout of MovieLens, written a piece at a time.

They come in the order of time, as a log has them, so that a user's are scattered over the whole
file: the publisher's own files, which are by user, are easier. Some users and items are met far
more often than others, and a user may rate an item twice.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

EVENTS_A_USER = 140
"""On average, as in ML-20M."""
ITEMS = 50_000
_PIECE = 2**20
_GENRES = ("Comedy", "Drama", "Thriller", "War")
_BEGIN = 1_000_000_000


def write_events(folder: Path, events: int, seed: int = 0) -> None:
    """Writes `ratings.csv` and `movies.csv`.

    Args:
        folder: Where to; it is made.
        events: How many ratings.
        seed: Of users, items and stars.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    users = max(1, events // EVENTS_A_USER)
    with (folder / "ratings.csv").open("wb") as out:
        for begin in range(0, events, _PIECE):
            count = min(_PIECE, events - begin)
            pl.DataFrame(
                {
                    "userId": _mostly_low(users, 1.5, count, rng),
                    "movieId": _mostly_low(ITEMS, 3.0, count, rng),
                    "rating": rng.integers(1, 11, count) / 2,
                    "timestamp": _BEGIN + begin + np.arange(count),
                }
            ).write_csv(out, include_header=begin == 0)
    numbers = np.arange(1, ITEMS + 1)
    pl.DataFrame(
        {
            "movieId": numbers,
            "title": [f"Movie {number} ({1950 + number % 70})" for number in numbers],
            "genres": [_GENRES[number % len(_GENRES)] for number in numbers],
        }
    ).write_csv(folder / "movies.csv")


def _mostly_low(highest: int, skew: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers from 1 on, low ones more often."""
    return (rng.random(count) ** skew * highest).astype(np.uint32) + 1
