"""A made-up world with a preference that a working method must find.

Every item has a successor, and most events follow from the one before: a user who met an item
goes on to its successor, or to the next one down the line that is new to them. Otherwise a user
jumps to an item of a genre they like, popular ones more often. So the last event tells much of
the next one, and popularity tells little. What users write depends on them (their mood), on the
item (its genre, its title where `titled`) and on the rating.

`bulk` makes a world of the same kind in `synthetic_bulk`, millions of events in
seconds; `layouts` writes a world as the publishers of real data write theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from benchmark.data.dataset import Dataset, build_dataset
from benchmark.schema import ITEM, TEXT, TIMESTAMP, USER, Feature, FeatureKind

GENRES = ("Comedy", "Drama", "Horror", "Mystery", "Romance", "War", "Western", "Fantasy")
MOODS = ("calm", "merry", "grim", "tender", "sharp", "slow", "bold", "odd")
VERDICTS = ("dreadful", "weak", "fair", "good", "splendid")
RATINGS = ("1", "2", "3", "4", "5")
FIRST_YEAR, LAST_YEAR = 1950, 2009


@dataclass(frozen=True)
class SyntheticSettings:
    """How the world is made.

    Attributes:
        users: Number of users who have `events` events.
        items: Number of items.
        events: Fewest and most events of a user.
        follow: Probability that an event follows from the one before.
        genres: Number of genres, at most 8.
        duplicate_titles: Number of items that bear the text of another item.
        short_users: Number of further users, who have one or two events.
        tied: Probability that an event has the timestamp of the one before.
        repeats: Whether a user may meet an item twice.
        seed: Seed of everything.
        drift: Probability that an event moves both genres that a user likes on to the next ones.
        titled: Whether what users write names the item, so that few texts are the same.
        bulk: Whether events are made many users at a time. Another world than without, by the
            same rules; only the order of ids and of chance differs.
    """

    users: int = 400
    items: int = 120
    events: tuple[int, int] = (8, 30)
    follow: float = 0.8
    genres: int = 6
    duplicate_titles: int = 0
    short_users: int = 0
    tied: float = 0.1
    repeats: bool = False
    seed: int = 0
    drift: float = 0.0
    titled: bool = False
    bulk: bool = False

    def __post_init__(self) -> None:
        low, high = self.events
        if not 1 <= low <= high or (not self.repeats and high >= self.items):
            raise ValueError("events must be a range within the number of items")
        if not 1 <= self.genres <= len(GENRES) or self.duplicate_titles >= self.items:
            raise ValueError(f"genres must be 1 to {len(GENRES)}, duplicate_titles below items")


def load_synthetic() -> Dataset:
    """The registered data set `synthetic`: a default world."""
    return make_world(SyntheticSettings())


def make_world(settings: SyntheticSettings, name: str = "synthetic") -> Dataset:
    """Makes a world; the same settings always give the same one."""
    catalog, chunks = make_frames(settings)
    events = pl.concat(chunks).sort(TIMESTAMP, maintain_order=True)
    genres = GENRES[: settings.genres]
    years = tuple(str(year) for year in range(FIRST_YEAR, LAST_YEAR + 1))
    features = [
        Feature("rating", FeatureKind.CATEGORY, len(RATINGS), labels=RATINGS),
        Feature("year", FeatureKind.CATEGORY, len(years), of_item=True, labels=years),
        Feature("genres", FeatureKind.MULTI, len(genres), of_item=True, width=2, labels=genres),
    ]
    return build_dataset(
        name,
        events.with_columns(_named("u", USER), _named("i", ITEM), pl.col("rating").cast(pl.String)),
        catalog.with_columns(_named("i", ITEM)),
        features,
        source=f"made by benchmark.data.made_up.synthetic, seed {settings.seed}",
        licence="same as the code",
        citation="none",
        label_feature="genres",
    )


def make_frames(
    settings: SyntheticSettings, *, texts: bool = True
) -> tuple[pl.DataFrame, Iterator[pl.DataFrame]]:
    """Makes a world as frames, with users and items numbered from 1.

    Args:
        settings: How the world is made.
        texts: Whether events have their text; without it, many are made quicker.

    Returns:
        The catalogue, with `item`, `text`, `year` and `genres`; and the events in one or more
        frames, with `user`, `item`, `rating`, `timestamp` and `text`. Users of a later frame come
        after those of an earlier one.
    """
    if settings.bulk:
        from benchmark.data.made_up.synthetic_bulk import bulk_catalog, bulk_events

        catalog = bulk_catalog(settings)
        return catalog, bulk_events(settings, catalog, texts=texts)
    rng = np.random.default_rng(settings.seed)
    catalog = make_catalog(settings, rng)
    genre_of = np.array([GENRES.index(genres[0]) for genres in catalog["genres"]])
    rows = make_events(settings, genre_of, rng, bare_titles(catalog).to_list())
    events = pl.DataFrame(rows, schema=[USER, ITEM, "rating", TIMESTAMP, TEXT], orient="row")
    numbered = [pl.col(name).str.slice(1).cast(pl.Int32) for name in (USER, ITEM)]
    events = events.with_columns(*numbered, pl.col("rating").cast(pl.Int8))
    catalog = catalog.with_columns(pl.col(ITEM).str.slice(1).cast(pl.Int32))
    return catalog, iter([events if texts else events.drop(TEXT)])


def bare_titles(catalog: pl.DataFrame) -> pl.Series:
    """Titles without the year."""
    return catalog[TEXT].str.replace(r" \(\d{4}\)$", "")


def _named(letter: str, column: str) -> pl.Expr:
    return pl.format(letter + "{}", pl.col(column).cast(pl.String).str.zfill(4)).alias(column)


def make_catalog(settings: SyntheticSettings, rng: np.random.Generator) -> pl.DataFrame:
    """Items with readable titles, a year (now and then unknown) and one or two genres."""
    titles = make_titles(settings.items, rng)
    years: list[str | None] = []
    genres: list[list[str]] = []
    for _ in range(settings.items):
        known = rng.random() < 0.95
        years.append(str(rng.integers(FIRST_YEAR, LAST_YEAR + 1)) if known else None)
        count = min(settings.genres, 1 + int(rng.random() < 0.3))
        chosen = rng.choice(settings.genres, size=count, replace=False)
        genres.append([GENRES[genre] for genre in chosen])
    texts = [
        title if year is None else f"{title} ({year})"
        for title, year in zip(titles, years, strict=True)
    ]
    shuffled = rng.permutation(settings.items)
    lenders = shuffled[settings.duplicate_titles :]
    for nth, item in enumerate(shuffled[: settings.duplicate_titles]):
        lender = lenders[nth % len(lenders)]
        texts[item], years[item] = texts[lender], years[lender]
    ids = [f"i{item:04d}" for item in range(1, settings.items + 1)]
    return pl.DataFrame({ITEM: ids, TEXT: texts, "year": years, "genres": genres})


def make_titles(count: int, rng: np.random.Generator) -> list[str]:
    """Different titles of one or two words that one can say aloud."""
    consonants = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "st")
    vowels = ("a", "e", "i", "o", "u")
    titles: dict[str, None] = {}  # a dict keeps the order, a set would not
    while len(titles) < count:
        words = []
        for _ in range(rng.integers(1, 3)):
            syllables = [str(rng.choice(consonants)) + str(rng.choice(vowels)) for _ in range(2)]
            words.append("".join([*syllables, str(rng.choice(("", "n", "r", "s")))]).capitalize())
        titles[" ".join(words)] = None
    return list(titles)


def make_events(
    settings: SyntheticSettings,
    genre_of: np.ndarray,
    rng: np.random.Generator,
    titles: Sequence[str] = (),
) -> list[tuple[str, str, str, int, str]]:
    """Events of all users in the order of time, as a log file would have them.

    Args:
        settings: How the world is made.
        genre_of: First genre of every item, `[items]`.
        rng: Source of chance.
        titles: What texts call the items, where they do.

    Returns:
        Rows of user, item, rating, timestamp, text.
    """
    count = settings.items
    # One line through all items, so that each has one successor: neighbours on a random circle.
    circle = rng.permutation(count)
    successor = np.empty(count, dtype=np.int64)
    successor[circle] = np.roll(circle, -1)
    popularity = 1.0 / (1.0 + rng.permutation(count))
    rows: list[tuple[str, str, str, int, str]] = []
    for user in range(settings.users + settings.short_users):
        low, high = settings.events if user < settings.users else (1, 2)
        length = int(rng.integers(low, high + 1))
        liked = rng.choice(settings.genres, size=min(2, settings.genres), replace=False)
        taste = popularity * np.where(np.isin(genre_of, liked), 8.0, 1.0)
        mood = MOODS[int(rng.integers(len(MOODS)))]
        time = 1_000_000_000 + int(rng.integers(10_000_000))
        new = np.ones(count, dtype=bool)
        item = -1
        for nth in range(length):
            if settings.drift and nth and rng.random() < settings.drift:
                liked = (liked + 1) % settings.genres
                taste = popularity * np.where(np.isin(genre_of, liked), 8.0, 1.0)
            if item >= 0 and rng.random() < settings.follow:
                item = int(successor[item])
                while not new[item]:
                    item = int(successor[item])
            else:
                weights = taste * new
                item = int(rng.choice(count, p=weights / weights.sum()))
            new[item] = settings.repeats
            time += 0 if rng.random() < settings.tied else int(rng.integers(60, 3600))
            likes = bool(np.isin(genre_of[item], liked))
            stars = int(np.clip(round(rng.normal(4.2 if likes else 2.4, 0.7)), 1, 5))
            genre = GENRES[genre_of[item]].lower()
            title = f" {titles[item]}," if settings.titled else ""
            text = f"A {VERDICTS[stars - 1]} {genre},{title} and I like it {mood}."
            rows.append((f"u{user + 1:04d}", f"i{item + 1:04d}", str(stars), time, text))
    rows.sort(key=lambda row: row[3])
    return rows
