"""The world of `synthetic`, made of whole columns: 20 million events in seconds.

An event that follows from the one before is one step on along the circle of items, so its item is
that of the latest jump plus the number of steps since. Where users meet no item twice, those that
would are moved on to the next item down the circle that is new to the user: all at once, because
among a user's positions in order the n-th must lie at least n - m behind the m-th.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from benchmark.data.made_up.synthetic import (
    FIRST_YEAR,
    GENRES,
    LAST_YEAR,
    MOODS,
    VERDICTS,
    SyntheticSettings,
    bare_titles,
)
from benchmark.schema import ITEM, TEXT, TIMESTAMP, USER

USERS_AT_ONCE = 1 << 14
"""Part of what the world is: chance is drawn anew for each batch of users."""
_LIKING = 8.0
_CONSONANTS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "st")
_VOWELS = ("a", "e", "i", "o", "u")
_ENDS = ("", "n", "r", "s")


def bulk_catalog(settings: SyntheticSettings) -> pl.DataFrame:
    """Items numbered from 1, with `text`, `year` (now and then unknown) and `genres`."""
    rng = np.random.default_rng([settings.seed, 0])
    count, genres = settings.items, settings.genres
    years = rng.integers(FIRST_YEAR, LAST_YEAR + 1, count)
    known = rng.random(count) < 0.95
    first = rng.integers(genres, size=count)
    second = (first + rng.integers(1, max(2, genres), size=count)) % genres
    two = (rng.random(count) < 0.3) & (first != second)
    frame = pl.DataFrame(
        {
            ITEM: np.arange(1, count + 1, dtype=np.int32),
            "title": _titles(count, rng),
            "year": pl.Series(years).cast(pl.String),
            "first": _gather(GENRES, first),
            "second": _gather(GENRES, second),
            "two": two,
            "known": known,
        }
    ).with_columns(pl.when("known").then("year").alias("year"))
    frame = frame.select(
        ITEM,
        pl.when("known").then(pl.format("{} ({})", "title", "year")).otherwise("title").alias(TEXT),
        "year",
        pl.when("two")
        .then(pl.concat_list("first", "second"))
        .otherwise(pl.concat_list("first"))
        .alias("genres"),
    )
    source = np.arange(count)
    shuffled = rng.permutation(count)
    borrowers, lenders = np.split(shuffled, [settings.duplicate_titles])
    source[borrowers] = np.resize(lenders, len(borrowers))
    return frame.with_columns(frame[TEXT].gather(source), frame["year"].gather(source))


def bulk_events(
    settings: SyntheticSettings, catalog: pl.DataFrame, *, texts: bool = True
) -> Iterator[pl.DataFrame]:
    """Events of some thousand users after others, each user's in the order of time.

    Args:
        settings: How the world is made.
        catalog: Its items.
        texts: Whether events have a text.
    """
    genre_of = _genre_of(catalog)
    rng = np.random.default_rng([settings.seed, 1])
    circle = rng.permutation(settings.items)
    popularity = 1.0 / (1.0 + settings.items // 100 + rng.permutation(settings.items))
    shop = _Shop(genre_of, popularity, settings.genres)
    titles = bare_titles(catalog)
    everybody = settings.users + settings.short_users
    for batch, begin in enumerate(range(0, everybody, USERS_AT_ONCE)):
        rng = np.random.default_rng([settings.seed, 2, batch])
        users = np.arange(begin, min(begin + USERS_AT_ONCE, everybody))
        frame = _batch(settings, users, circle, shop, rng)
        mood = _gather(MOODS, rng.integers(len(MOODS), size=len(users)))
        if texts:
            row, item = frame[USER].to_numpy() - 1 - begin, frame[ITEM].to_numpy() - 1
            said = {
                "verdict": _gather(VERDICTS, frame["rating"].to_numpy() - 1),
                "genre": _gather(tuple(genre.lower() for genre in GENRES), genre_of[item]),
                "title": titles.gather(item),
                "mood": mood.gather(row),
            }
            title = " {}," if settings.titled else ""
            columns = [name for name in said if settings.titled or name != "title"]
            text = pl.format(f"A {{}} {{}},{title} and I like it {{}}.", *columns)
            frame = frame.with_columns(pl.DataFrame(said).select(text.alias(TEXT)).to_series())
        yield frame


class _Shop:
    """Draws items by a user's liking, then by popularity.

    Args:
        genre_of: First genre of every item, `[items]`.
        popularity: Weight of every item, `[items]`.
        genres: Number of genres.
    """

    def __init__(self, genre_of: np.ndarray, popularity: np.ndarray, genres: int) -> None:
        self.genre_of = genre_of
        self.order = np.argsort(genre_of, kind="stable")
        self.heap = np.concatenate([[0.0], np.cumsum(popularity[self.order])])
        counts = np.bincount(genre_of, minlength=genres)
        self.bounds = np.concatenate([[0], np.cumsum(counts)])
        mass = np.diff(self.heap[self.bounds])
        liking = np.ones((genres, genres, genres))
        rows = np.arange(genres)
        liking[rows, :, rows] = _LIKING
        liking[:, rows, rows] = _LIKING
        shares = np.cumsum(liking * mass, axis=2)
        self.shares = shares / shares[:, :, -1:]  # of those who like both: first, second, genre

    def draw(self, first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One item for each pair of liked genres."""
        genre = (rng.random(len(first))[:, None] >= self.shares[first, second]).sum(axis=1)
        low, high = self.bounds[genre], self.bounds[genre + 1]
        place = self.heap[low] + rng.random(len(first)) * (self.heap[high] - self.heap[low])
        found = np.searchsorted(self.heap, place, side="right") - 1
        return self.order[np.clip(found, low, high - 1)]  # rounding may lead over the edge


def _batch(
    settings: SyntheticSettings,
    users: np.ndarray,
    circle: np.ndarray,
    shop: _Shop,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Events of some users, grouped by user, in the order of time."""
    low, high = settings.events
    lengths = np.where(
        users < settings.users,
        rng.integers(low, high + 1, len(users)),
        rng.integers(1, 3, len(users)),
    )
    total = int(lengths.sum())
    starts = np.cumsum(lengths) - lengths
    row = np.repeat(np.arange(len(users)), lengths)
    position = np.arange(total)

    jumps = rng.random(total) >= settings.follow
    jumps[starts] = True
    genres = settings.genres
    first = rng.integers(genres, size=len(users))[row]
    second = (first + rng.integers(1, max(2, genres), size=len(users))[row]) % genres
    if settings.drift:
        moves = np.cumsum(rng.random(total) < settings.drift)
        moved = moves - moves[starts][row]
        first, second = (first + moved) % genres, (second + moved) % genres
    place_of = np.empty_like(circle)
    place_of[circle] = np.arange(len(circle))
    landed = np.flatnonzero(jumps)
    jumped = np.zeros(total, dtype=np.int64)
    jumped[landed] = place_of[shop.draw(first[landed], second[landed], rng)]
    latest = np.maximum.accumulate(np.where(jumps, position, 0))
    places = (jumped[latest] + position - latest) % len(circle)
    if not settings.repeats:
        places = _all_new(places, row, position - starts[row], starts, len(circle))
    item = circle[places]

    likes = (shop.genre_of[item] == first) | (shop.genre_of[item] == second)
    stars = np.clip(np.rint(rng.normal(np.where(likes, 4.2, 2.4), 0.7)), 1, 5).astype(np.int8)
    passed = np.where(rng.random(total) < settings.tied, 0, rng.integers(60, 3600, total))
    time = np.cumsum(passed)
    begun = 1_000_000_000 + rng.integers(10_000_000, size=len(users))
    time += (begun - time[starts])[row]
    return pl.DataFrame(
        {
            USER: (users[row] + 1).astype(np.int32),
            ITEM: (item + 1).astype(np.int32),
            "rating": stars,
            TIMESTAMP: time,
        }
    )


def _all_new(
    places: np.ndarray, row: np.ndarray, nth: np.ndarray, starts: np.ndarray, size: int
) -> np.ndarray:
    """Moves places on along the circle until no user has one twice.

    Args:
        places: Place of every event, grouped by user.
        row: User of every event.
        nth: Position of every event in its user's history.
        starts: First event of every user.
        size: Places of the circle, more than the events of any user.
    """
    place_bits, nth_bits = size.bit_length(), int(nth.max()).bit_length()
    apart = row * (size + int(nth.max()) + 1)  # keeps users from reaching into each other
    while True:
        keys = ((row << place_bits) + places << nth_bits) + nth
        keys.sort()
        whose = keys & ((1 << nth_bits) - 1)
        places = (keys >> nth_bits) & ((1 << place_bits) - 1)
        places = nth + np.maximum.accumulate(places - nth + apart) - apart
        settled = np.empty_like(places)
        settled[starts[row] + whose] = places % size
        if not len(places) or int(places.max()) < size:
            return settled
        places = settled


def _genre_of(catalog: pl.DataFrame) -> np.ndarray:
    """First genre of every item."""
    codes = {genre: code for code, genre in enumerate(GENRES)}
    first = catalog["genres"].list.first()
    return first.replace_strict(codes, return_dtype=pl.Int64).to_numpy()


def _gather(values: tuple[str, ...], index: np.ndarray) -> pl.Series:
    return pl.Series(values).gather(index)


def _titles(count: int, rng: np.random.Generator) -> pl.Series:
    """Different titles of one or two words that one can say aloud."""
    syllables = [c + v for c in _CONSONANTS for v in _VOWELS]
    words = pl.Series(
        [(a + b + end).capitalize() for a in syllables for b in syllables for end in _ENDS]
    ).unique(maintain_order=True)
    size = len(words)
    numbers = np.zeros(0, dtype=np.int64)
    while len(numbers) < count:
        drawn = np.concatenate([numbers, rng.integers(size * (size + 1), size=2 * count)])
        numbers = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
    front, back = np.divmod(numbers[:count], size + 1)
    pairs = pl.DataFrame({"front": words.gather(front), "back": words.gather(back % size)})
    one = pl.Series(back == size)
    return pairs.select(
        pl.when(one).then("front").otherwise(pl.format("{} {}", "front", "back"))
    ).to_series()
