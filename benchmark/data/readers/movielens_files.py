"""MovieLens as GroupLens publishes it: `ratings` and `movies`, as CSV or with `::` between fields.

What the files hold, and what is made of it:

- `ml-1m` and `ml-10m` are `.dat` files without a header, the first in Latin-1; titles may hold
  `::`. The others are CSV with a header, in UTF-8. What users are (`users.dat`), tags and links are
  not read.
- A rating is a category: five whole stars in `ml-1m`, ten half ones, "0.5" to "5.0", elsewhere.
- An item's text is its title as it stands, the year with it. The year is what stands in brackets
  at the end, with spaces, a range ("(2007-)" is 2007) or a bracket too many. Some have none.
- "(no genres listed)" is no genre: such an item has none.
- Nobody rates a movie twice in the published files. Rows that are the same in everything are
  dropped; a user's second rating of a movie is kept, and a note says so.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePath

import numpy as np
import polars as pl

from benchmark.data.encoding import pieces
from benchmark.data.files.archives import Opened, open_member
from benchmark.data.files.broken import Check
from benchmark.data.files.lines import read_delimited
from benchmark.data.ordering import ascending_pairs
from benchmark.data.partition import rows_of, twice
from benchmark.data.raw import PrepareSettings, Raw
from benchmark.data.readers.movielens import GENRES, RATING, RATINGS, YEAR, item_features
from benchmark.data.readers.movielens_sets import FOLDERS, PUBLISHED, Published
from benchmark.data.readers.sieve import SECONDS, first_known, has_time
from benchmark.data.room import kept_rows
from benchmark.errors import UserError
from benchmark.schema import ITEM, TEXT, TIMESTAMP, USER, Feature, FeatureKind

NO_GENRES = ("", "(no genres listed)", "unknown")
MOST_GENRES = 100
"""There are 20; a file with more names holds something else in that column."""

_YEAR = r"\((\d{4})\s*(?:[-\u2010-\u2015]\s*(?:\d{4})?\s*)?\)+\s*$"
_FIRST_YEAR, _LAST_YEAR = 1870, 2099
_SPACES = r"[\s\x00-\x1f\x7f\u0085]+"


def read_movielens(name: str, source: Path, settings: PrepareSettings) -> Raw:
    """Reads one of the MovieLens sets: the `Reader` of all that are not embedded.

    Args:
        name: For example `ml-20m`.
        source: The archive, or a folder with it or with what it holds.
        settings: How many broken lines to bear.

    Raises:
        UserError: The files are not those of this data set, or too broken.
        RunError: There is no room to unpack them.
    """
    published = PUBLISHED[name]
    ending = "dat" if published.dat else "csv"
    counts: Counter[str] = Counter()
    with _open(name, source, f"ratings.{ending}") as opened:
        events, found, notes = read_ratings(opened, published, settings.broken)
        counts += Counter(found)
    with _open(name, source, f"movies.{ending}") as opened:
        catalog, found = read_movies(opened, published, settings.broken)
        counts += Counter(found)
        _check_same_set(opened.name, events[ITEM], catalog[ITEM])
    if len(events) != published.ratings:
        notes.append(
            f"these are not the files of {name} as published: {len(events):,} ratings,"
            f" {published.ratings:,} are published"
        )
    rating = Feature(RATING, FeatureKind.CATEGORY, len(published.stars), labels=published.stars)
    of_item = item_features(catalog)
    names = [feature.name for feature in of_item]
    return Raw(
        events=events,
        catalog=catalog.select(ITEM, TEXT, *names),
        features=(rating, *of_item),
        label_feature=GENRES if GENRES in names else "",
        counts=counts,
        notes=tuple(notes),
    )


def read_ratings(
    opened: Opened, published: Published, broken: float
) -> tuple[pl.DataFrame, dict[str, int], list[str]]:
    """Reads `ratings.csv` or `ratings.dat`.

    Args:
        opened: The file.
        published: What it should be like.
        broken: Share of the lines that may be broken.

    Returns:
        Columns `user`, `item`, `rating` (an enum of the labels), `timestamp`, in file order; counts
        by reason; notes.

    Raises:
        UserError: It is no such file, or too broken.
    """
    values = [float(stars) for stars in published.stars]
    what = "whole" if published.stars == RATINGS else "half"
    says = f"is no {what} star from {published.stars[0]} to {published.stars[-1]}"
    named = pl.Series(published.stars, dtype=pl.Enum(published.stars))

    def tidied(raw: pl.DataFrame) -> pl.DataFrame:
        # Stars are evenly spaced, and each is one that there is.
        place = (raw["rating"] - values[0]) / (values[1] - values[0])
        return raw.select(
            pl.col("userId").alias(USER),
            pl.col("movieId").alias(ITEM),
            named.gather(place.cast(pl.UInt32)).alias(RATING),
            pl.col("timestamp").floor().cast(pl.Int64).alias(TIMESTAMP),
        )

    events, counts = read_delimited(
        opened,
        "::" if published.dat else ",",
        # A time is a whole number of seconds, but who converts files leaves ".0" behind.
        {"userId": pl.UInt32, "movieId": pl.UInt32, "rating": pl.Float32, "timestamp": pl.Float64},
        header=not published.dat,
        encoding=published.encoding,
        broken=broken,
        multiline=False,
        checks=(
            Check("rating", lambda rating: rating.is_in(values), says),
            has_time(("timestamp",), SECONDS),
        ),
        each=tidied,
    )
    events, dropped, repeated = drop_duplicates(events)
    if dropped:
        counts["exact duplicates"] = dropped
    notes = [f"{repeated:,} ratings are of a movie that the user had rated before; they are kept"]
    return events, counts, notes if repeated else []


def drop_duplicates(events: pl.DataFrame) -> tuple[pl.DataFrame, int, int]:
    """Drops rows that stand twice.

    Published files hold every pair of user and item once, which is quickly seen: most files are
    in the order of the pairs, and of others it is enough to sort one number a row.

    Args:
        events: With `user` and `item`, both `UInt32`.

    Returns:
        The rows without those that stood before in all columns, how many were dropped, and how
        many of the others are of a pair that stood before.
    """
    some = (events[rows] for rows in pieces(len(events), overlap=1))
    if all(ascending_pairs(rows[USER].to_numpy(), rows[ITEM].to_numpy()) for rows in some):
        return events, 0, 0
    users, items = events[USER].to_numpy(), events[ITEM].to_numpy()
    again = twice(users, items)
    if not len(again):
        return events, 0, 0
    suspects = rows_of(again, users, items)
    first = events[suspects].select(pl.struct(pl.all()).is_first_distinct()).to_series()
    keep = np.ones(len(events), dtype=bool)
    keep[suspects] = first.to_numpy()
    dropped = len(events) - int(keep.sum())
    repeated = len(suspects) - len(again) - dropped
    return kept_rows(events, keep) if dropped else events, dropped, repeated


def read_movies(
    opened: Opened, published: Published, broken: float
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Reads `movies.csv` or `movies.dat`.

    Args:
        opened: The file.
        published: What it should be like.
        broken: Share of the lines that may be broken.

    Returns:
        Columns `item`, `text` (null where there is no title), `year` (null where unknown),
        `genres` (lists), each item once; counts by reason.

    Raises:
        UserError: It is no such file, or too broken.
    """
    raw, counts = read_delimited(
        opened,
        "::" if published.dat else ",",
        {"movieId": pl.UInt32, "title": pl.String, "genres": pl.String},
        header=not published.dat,
        encoding=published.encoding,
        broken=broken,
        overflow="title" if published.dat else "",
        multiline=False,
    )
    title = pl.col("title").str.replace_all(_SPACES, " ").str.strip_chars()
    year = pl.col("title").str.extract(_YEAR, 1).cast(pl.Int32)
    genres = pl.col("genres").fill_null("").str.split("|").list.eval(
        pl.element().str.strip_chars()
    )  # fmt: skip
    rows = raw.select(
        pl.col("movieId").alias(ITEM),
        pl.when(title != "").then(title).alias(TEXT),
        pl.when(year.is_between(_FIRST_YEAR, _LAST_YEAR)).then(year).cast(pl.String).alias(YEAR),
        genres.list.filter(~pl.element().is_in(NO_GENRES))
        .list.unique(maintain_order=True)
        .alias(GENRES),
    )
    found = rows[GENRES].explode().n_unique()
    if found > MOST_GENRES:
        raise UserError(f"{opened.name}: {found:,} genres? This is no such file of MovieLens")
    if rows[ITEM].is_duplicated().any():
        rows, repeated = first_known(rows)
        counts |= repeated
    return rows, counts


def _open(name: str, source: Path, file: str) -> Opened:
    """Opens a file of a data set: that in its own folder, else the only one of that name.

    Raises:
        UserError: There is none, or its folder is called as another data set's is.
    """
    published = PUBLISHED[name]
    try:
        places = dict.fromkeys((f"{published.folder}/{file}", f"{name}/{file}", file))
        opened = open_member(source, *places)
    except UserError as error:
        raise UserError(f"data set {name!r}: {error}") from error
    folder = PurePath(opened.name).parent.name.lower().removesuffix(".zip")
    other = FOLDERS.get(folder, name)
    if other != name:
        opened.close()
        raise UserError(f"data set {name!r}: {opened.name} is of {other}, another data set")
    return opened


def _check_same_set(file: str, rated: pl.Series, known: pl.Series) -> None:
    """Raises where the movies are not those that the ratings are of."""
    rated = rated.unique(maintain_order=True)  # hashed, not sorted
    found = int(rated.is_in(known.implode()).sum())
    if found < len(rated) / 2:
        raise UserError(
            f"{file} knows {found:,} of {len(rated):,} rated movies: is it of another data set?"
        )
