"""What GroupLens publishes of MovieLens, beside `ml-100k`."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.data.readers.movielens import RATINGS

HALF_STARS = tuple(f"{stars / 2:.1f}" for stars in range(1, 11))


@dataclass(frozen=True)
class Published:
    """What a data set's files are like.

    Attributes:
        ratings: How many there are.
        folder: The archive's folder.
        dat: `.dat` files with `::`, not CSV.
        stars: The labels of a rating.
        encoding: Of the files.
    """

    ratings: int
    folder: str
    dat: bool = False
    stars: tuple[str, ...] = HALF_STARS
    encoding: str = "utf-8"


PUBLISHED = {
    "ml-latest-small": Published(100_836, "ml-latest-small"),
    "ml-1m": Published(1_000_209, "ml-1m", dat=True, stars=RATINGS, encoding="latin-1"),
    "ml-10m": Published(10_000_054, "ml-10M100K", dat=True),
    "ml-20m": Published(20_000_263, "ml-20m"),
    "ml-25m": Published(25_000_095, "ml-25m"),
    "ml-32m": Published(32_000_204, "ml-32m"),
}
FOLDERS = {
    **{published.folder.lower(): name for name, published in PUBLISHED.items()},
    **{name: name for name in (*PUBLISHED, "ml-100k", "ml-latest")},
}
"""Which data set a folder's name stands for."""
