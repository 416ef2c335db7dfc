"""Amazon Review, the publications of 2014, 2018 and 2023: reviews, and items where known.

What the files hold, and what is made of it:

- Who wrote a review is known by an id; the reviewer's name stands in the files and is never read.
- The review file is the 5-core one where it is there, else the one of all reviews. The item's
  metadata is read where its file lies beside; without it items have neither title nor category.
- Texts are pieces of web pages: tags go, entities are spelt out, blanks and line ends become one
  blank. Titles that are code, style sheets or layout are no titles.
- The same review stands several times (2018: All_Beauty has one in five twice); it counts once.
- What metadata says of reviews (average rating, rank, also bought) is left out: it was counted
  after the reviews that are to be predicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import polars as pl

from benchmark.data.files.archives import open_member
from benchmark.data.files.lines import read_json_lines
from benchmark.data.raw import PrepareSettings, Raw
from benchmark.data.readers.amazon_metadata import (
    CATEGORIES,
    PRICE,
    MetadataKeys,
    nothing_known,
    read_products,
)
from benchmark.data.readers.labels import with_frequent_labels
from benchmark.data.readers.markup import clean
from benchmark.data.readers.sieve import (
    MILLISECONDS,
    SECONDS,
    STARS,
    distinct_rows,
    first_id,
    has_id,
    has_time,
    stars,
)
from benchmark.errors import UserError, unknown
from benchmark.schema import ITEM, SUMMARY, TEXT, TIMESTAMP, USER, Feature, FeatureKind, number

RATING = "rating"
PRICE_EDGES = (5, 10, 20, 50, 100, 200)
LABELS = 32
"""Most categories that are told apart: those that most items of the catalogue have."""


@dataclass(frozen=True)
class Publication:
    """How one year's files are laid out.

    Attributes:
        reviews: Names of the review file by preference, `{part}` for the category.
        metadata: Names of the file of items.
        keys: What the lines of a review file call our columns; of several the first that is there.
        per_second: Units of time a second.
        items: What the lines of metadata are called, and how they are written.
    """

    reviews: tuple[str, ...]
    metadata: tuple[str, ...]
    keys: Mapping[str, tuple[str, ...]]
    per_second: int
    items: MetadataKeys


_EARLY = {
    USER: ("reviewerID",),
    ITEM: ("asin",),
    TIMESTAMP: ("unixReviewTime",),
    RATING: ("overall",),
    TEXT: ("reviewText",),
    SUMMARY: ("summary",),
}
_LATE = {
    USER: ("user_id",),
    ITEM: ("parent_asin", "asin"),
    TIMESTAMP: ("timestamp", "sort_timestamp"),
    RATING: ("rating",),
    TEXT: ("text",),
    SUMMARY: ("title",),
}
_TYPES: dict[str, pl.DataType] = {TIMESTAMP: pl.Int64(), RATING: pl.Float64()}
PUBLICATIONS = {
    "amazon-2014": Publication(
        ("reviews_{part}_5.json", "reviews_{part}.json"),
        ("meta_{part}.json",),
        _EARLY,
        SECONDS,
        MetadataKeys(("asin",), "categories", literal=True),
    ),
    "amazon-2018": Publication(
        ("{part}_5.json", "{part}.json"),
        ("meta_{part}.json",),
        _EARLY,
        SECONDS,
        MetadataKeys(("asin",), "category", "main_cat"),
    ),
    "amazon-2023": Publication(
        ("{part}.jsonl",),
        ("meta_{part}.jsonl",),
        _LATE,
        MILLISECONDS,
        MetadataKeys(("parent_asin", "asin"), "categories", "main_category"),
    ),
}


def read_amazon(name: str, source: Path, settings: PrepareSettings) -> Raw:
    """Reads one category: the `Reader` of `amazon-2014/*`, `amazon-2018/*` and `amazon-2023/*`.

    Args:
        name: For example `amazon-2018/Gift_Cards`.
        source: A folder or zip with the review file and maybe the metadata, or the review file.
        settings: How many broken lines to bear.

    Raises:
        UserError: The files are not those of this category, or too broken.
    """
    family, _, part = name.partition("/")
    if family not in PUBLICATIONS:
        raise unknown("family", family, PUBLICATIONS)
    publication = PUBLICATIONS[family]
    file, events, counts = read_reviews(part, source, publication, settings.broken)
    notes = [f"the reviews are those of {PurePosixPath(file).name}"]
    names = [pattern.format(part=part) for pattern in publication.metadata]
    known = events[ITEM].unique().sort()
    products = read_products(source, names, publication.items, known, settings.broken)
    features = [Feature(RATING, FeatureKind.CATEGORY, len(STARS), labels=STARS)]
    if products is None:
        products = nothing_known(known)
        notes.append(f"there is no metadata ({names[0]}.gz beside the reviews): no titles,"
                     " no categories")  # fmt: skip
    catalog, categories = with_frequent_labels(products.frame, CATEGORIES, LABELS)
    if categories is not None:
        features.append(categories)
    if catalog[PRICE].null_count() == len(catalog):
        catalog = catalog.drop(PRICE)
    else:
        features.append(number(PRICE, PRICE_EDGES, of_item=True))
    return Raw(
        events=events,
        catalog=catalog,
        features=tuple(features),
        label_feature=CATEGORIES if categories is not None else "",
        counts={**counts, **products.counts},
        notes=tuple(notes),
    )


def read_reviews(
    part: str, source: Path, publication: Publication, broken: float
) -> tuple[str, pl.DataFrame, dict[str, int]]:
    """Reads the review file of a category.

    Args:
        part: The category.
        source: See `read_amazon`.
        publication: How the files are laid out.
        broken: Share of the lines that may be of no use.

    Returns:
        The file as errors call it; columns `user`, `item`, `timestamp`, `rating`, `text`,
        `summary`; what was skipped.
    """
    names = [pattern.format(part=part) for pattern in publication.reviews]
    keys = publication.keys
    schema: dict[str, pl.DataType] = {
        key: _TYPES.get(column, pl.String()) for column, given in keys.items() for key in given
    }
    checks = [
        has_id(keys[USER]),
        has_id(keys[ITEM]),
        has_time(keys[TIMESTAMP], publication.per_second),
    ]
    with open_member(source, *names) as opened:
        lines, counts = read_json_lines(opened, schema, broken=broken, checks=checks)
        file = opened.name
    events = lines.select(
        first_id(keys[USER]).alias(USER),
        first_id(keys[ITEM]).alias(ITEM),
        (pl.coalesce(keys[TIMESTAMP]) // publication.per_second).alias(TIMESTAMP),
        *(pl.coalesce(keys[column]).alias(column) for column in (RATING, TEXT, SUMMARY)),
    )
    del lines
    ratings, strange = stars(events[RATING])
    if ratings.null_count() == len(ratings):
        raise UserError(
            f"{file}: no line has a rating of 1 to 5 under {keys[RATING][0]!r}: is it a file of"
            " another data set?"
        )
    events = events.with_columns(ratings, clean(events[TEXT]), clean(events[SUMMARY]))
    events, repeated = distinct_rows(events)
    wordless = events[TEXT].null_count()
    empty = {"reviews without text": wordless} if wordless else {}
    return file, events, {**counts, **strange, **repeated, **empty}
