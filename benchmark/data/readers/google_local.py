"""Google Local 2021, one state of it: reviews of places, and what the places are.

What the files hold, and what is made of it:

- Who wrote a review is known by an id; the reviewer's name stands in the files and is never read,
  nor are the owner's answer and pictures.
- Times are milliseconds; they become whole seconds, after rows that are the same were dropped.
- A third to a half of the reviews is stars alone: their text is null.
- A review in another language stands behind Google's translation; the translation is kept.
- Places have several categories, of which there are thousands, or none. Some stand twice.
- A place's average rating and number of reviews are left out: they were counted after the reviews
  that are to be predicted.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import polars as pl

from benchmark.data.files.archives import open_member
from benchmark.data.files.lines import read_json_lines
from benchmark.data.raw import PrepareSettings, Raw
from benchmark.data.readers.labels import with_frequent_labels
from benchmark.data.readers.markup import clean, clean_titles
from benchmark.data.readers.presence import is_there
from benchmark.data.readers.sieve import (
    MILLISECONDS,
    STARS,
    distinct_rows,
    external_id,
    first_known,
    has_id,
    has_time,
    stars,
)
from benchmark.errors import UserError
from benchmark.schema import ITEM, TEXT, TIMESTAMP, USER, Feature, FeatureKind

CATEGORIES = "categories"
RATING = "rating"
LABELS = 256
"""Most categories that are told apart. A small state has 1,800, and the 32 most frequent ones
would leave three places in five without any."""

_REVIEWS = ("review-{part}.json", "review-{part}.*.json", "review-{part}_10.json")
_PLACES = ("meta-{part}.json", "meta-{part}.*.json")
_TRANSLATION = r"(?s)^\s*\(Translated by Google\)\s*(.*?)\s*(?:\(Original\).*)?$"


def read_google_local(name: str, source: Path, settings: PrepareSettings) -> Raw:
    """Reads one state: the `Reader` of `google-local/*`.

    Args:
        name: For example `google-local/Vermont`.
        source: A folder or zip with reviews and places, or the reviews alone.
        settings: How many broken lines to bear.

    Raises:
        UserError: The files are not those of this state, or too broken.
    """
    part = name.partition("/")[2]
    file, events, counts = read_reviews(part, source, settings.broken)
    shown = PurePosixPath(file).name
    notes = [f"the reviews are those of {shown}"]
    if "synthetic" in shown.lower():
        notes.append(f"the reviews are made up (synthetic), as the name {shown} says")
    known = events[ITEM].unique().sort()
    names = [pattern.format(part=part) for pattern in _PLACES]
    if is_there(source, names):
        catalog, found = read_places(source, names, known, settings.broken)
        counts = {**counts, **found}
    else:
        catalog = pl.DataFrame({ITEM: known}).with_columns(
            pl.lit(None, pl.String()).alias(TEXT),
            pl.lit(None, pl.List(pl.String())).alias(CATEGORIES),
        )
        notes.append(f"there is no metadata ({names[0]}.gz beside the reviews): no names,"
                     " no categories")  # fmt: skip
    features = [Feature(RATING, FeatureKind.CATEGORY, len(STARS), labels=STARS)]
    catalog, categories = with_frequent_labels(catalog, CATEGORIES, LABELS)
    if categories is not None:
        features.append(categories)
    return Raw(
        events=events,
        catalog=catalog,
        features=tuple(features),
        label_feature=CATEGORIES if categories is not None else "",
        counts=counts,
        notes=tuple(notes),
    )


def read_reviews(
    part: str, source: Path, broken: float
) -> tuple[str, pl.DataFrame, dict[str, int]]:
    """Reads the reviews of a state.

    Args:
        part: The state.
        source: See `read_google_local`.
        broken: Share of the lines that may be of no use.

    Returns:
        The file as errors call it; columns `user`, `item`, `timestamp`, `rating`, `text`; what
        was skipped.
    """
    schema: dict[str, pl.DataType] = {
        "user_id": pl.String(),
        "gmap_id": pl.String(),
        "time": pl.Int64(),
        "rating": pl.Float64(),
        "text": pl.String(),
    }
    checks = [has_id(["user_id"]), has_id(["gmap_id"]), has_time(["time"], MILLISECONDS)]
    with open_member(source, *(name.format(part=part) for name in _REVIEWS)) as opened:
        lines, counts = read_json_lines(opened, schema, broken=broken, checks=checks)
        file = opened.name
    lines, repeated = distinct_rows(lines)  # in milliseconds: two reviews may share a second
    ratings, strange = stars(lines["rating"])
    if ratings.null_count() == len(ratings):
        raise UserError(
            f"{file}: no line has a rating of 1 to 5: is it a file of another data set?"
        )
    translated = lines["text"].str.contains(_TRANSLATION)
    texts = lines["text"].str.replace(_TRANSLATION, "${1}")
    events = lines.select(
        external_id(pl.col("user_id")).alias(USER),
        external_id(pl.col("gmap_id")).alias(ITEM),
        (pl.col("time") // MILLISECONDS).alias(TIMESTAMP),
        ratings.alias(RATING),
        clean(texts).alias(TEXT),
    )
    found = {
        "reviews without text": events[TEXT].null_count(),
        "reviews of which the translation is kept": int(translated.sum() or 0),
    }
    found = {reason: count for reason, count in found.items() if count}
    return file, events, {**counts, **repeated, **strange, **found}


def read_places(
    source: Path, names: list[str], known: pl.Series, broken: float
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Reads what places are.

    Args:
        source: See `read_google_local`.
        names: Names of the file, by preference.
        known: Ids of the places that have reviews: of others nothing is kept.
        broken: Share of the lines that may be of no use.

    Returns:
        Columns `item`, `text`, `categories`, in the order of `known`; what was skipped.
    """
    schema: dict[str, pl.DataType] = {
        "gmap_id": pl.String(),
        "name": pl.String(),
        "category": pl.List(pl.String()),
    }
    with open_member(source, *names) as opened:
        lines, counts = read_json_lines(opened, schema, broken=broken, checks=[has_id(["gmap_id"])])
    rows = lines.select(
        external_id(pl.col("gmap_id")).alias(ITEM),
        pl.col("name").alias(TEXT),
        pl.col("category").alias(CATEGORIES),
    )
    wanted = rows.filter(pl.col(ITEM).is_in(known.implode()))
    titles, debris = clean_titles(wanted[TEXT])
    places, repeated = first_known(wanted.with_columns(titles))
    catalog = pl.DataFrame({ITEM: known}).join(places, on=ITEM, how="left", maintain_order="left")
    found = {
        "rows of places without reviews": len(rows) - len(wanted),
        **repeated,
        "names that are debris": debris,
        "places without metadata": len(known) - len(places),
        "places without name": catalog[TEXT].null_count(),
        "places without category": catalog[CATEGORIES].null_count(),
    }
    return catalog, {**counts, **{reason: count for reason, count in found.items() if count}}
