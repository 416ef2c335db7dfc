"""`ml-100k`, read from the files that the installed `recbole` package carries.

The larger MovieLens sets are read from their publisher's files by `movielens_files`.

What the files hold, and what is made of it:

- A title stands as the catalogue writes it, article last: "Usual Suspects, The". The item's text
  is "Title (year)". 18 texts belong to two items each; they stay as they are, because the
  catalogue has two entries, and ties between them are settled by catalogue order.
- One title carries its year itself, and the year column has the "V" of "(1995) (V)": the year is
  taken from the title.
- One item is "unkonwn" in title and year (so spelt): its text is "unknown", its year is not known.
- The genre "unknown" is no genre: such an item has none.
- A rating is a category of five, whole stars.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import polars as pl

from benchmark.data.dataset import Dataset, build_dataset
from benchmark.errors import UserError
from benchmark.schema import ITEM, TEXT, TIMESTAMP, USER, Feature, FeatureKind

INSTALL_RECBOLE = "pip install --no-deps recbole==1.2.1"

LICENCE = (
    "GroupLens terms: research use, no commercial use or redistribution without permission"
    " (https://files.grouplens.org/datasets/movielens/ml-100k-README.txt)"
)
CITATION = (
    "F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context."
    " ACM Transactions on Interactive Intelligent Systems 5, 4, Article 19."
    " https://doi.org/10.1145/2827872"
)
RATINGS = ("1", "2", "3", "4", "5")
RATING, YEAR, GENRES = "rating", "year", "genres"


def ml_100k_folder() -> Path:
    """The folder inside the installed `recbole` package that holds MovieLens-100K.

    The package is located and not imported: its import is slow and asks for old dependencies.

    Raises:
        UserError: `recbole` is not installed, or comes without the files.
    """
    spec = importlib.util.find_spec("recbole")
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    for place in places:
        folder = Path(place) / "dataset_example" / "ml-100k"
        if (folder / "ml-100k.inter").is_file() and (folder / "ml-100k.item").is_file():
            return folder
    raise UserError(
        "data set 'ml-100k' is read from the recbole package, which is not installed:"
        f" run `{INSTALL_RECBOLE}`"
    )


def load_ml_100k() -> Dataset:
    """MovieLens-100K: 943 users, 1,682 movies, 100,000 ratings, no repeats."""
    folder = ml_100k_folder()
    events = read_atomic_file(folder / "ml-100k.inter").select(
        pl.col("user_id").alias(USER),
        pl.col("item_id").alias(ITEM),
        pl.col("rating").cast(pl.Float64).cast(pl.Int64).cast(pl.String).alias(RATING),
        pl.col("timestamp").cast(pl.Float64).cast(pl.Int64).alias(TIMESTAMP),
    )
    catalog = tidy_catalog(read_atomic_file(folder / "ml-100k.item"))
    rating = Feature(RATING, FeatureKind.CATEGORY, len(RATINGS), labels=RATINGS)
    return build_dataset(
        "ml-100k",
        events,
        catalog,
        (rating, *item_features(catalog)),
        source="files of the recbole package, dataset_example/ml-100k",
        licence=LICENCE,
        citation=CITATION,
        label_feature=GENRES,
    )


def item_features(catalog: pl.DataFrame) -> list[Feature]:
    """Year and genres as features, each where some item has one.

    Args:
        catalog: Columns `year` and `genres`, as `tidy_catalog` makes them.
    """
    years = tuple(catalog[YEAR].drop_nulls().unique().sort())
    genres = tuple(catalog[GENRES].explode().drop_nulls().unique().sort())
    features = []
    if years:
        features.append(Feature(YEAR, FeatureKind.CATEGORY, len(years), of_item=True, labels=years))
    if genres:
        width = int(catalog[GENRES].list.len().max())  # type: ignore[arg-type]
        features.append(
            Feature(
                GENRES, FeatureKind.MULTI, len(genres), of_item=True, width=width, labels=genres
            )
        )
    return features


def read_atomic_file(path: Path) -> pl.DataFrame:
    """Reads RecBole's tab-separated format, all columns as strings, `name:type` cut to the name."""
    frame = pl.read_csv(path, separator="\t", quote_char=None, infer_schema=False)
    return frame.rename({column: column.partition(":")[0] for column in frame.columns})


def tidy_catalog(raw: pl.DataFrame) -> pl.DataFrame:
    """Items with text, year and genres, as the file's docstring says.

    Args:
        raw: Columns `item_id`, `movie_title`, `release_year`, `class`.

    Returns:
        Columns `item`, `text`, `year` (null where unknown), `genres` (lists).
    """
    title = pl.col("movie_title").str.strip_chars().replace("unkonwn", "unknown")
    in_title = title.str.extract(r"\((\d{4})\)$", 1)
    year = pl.coalesce(pl.col("release_year").str.extract(r"^(\d{4})$", 1), in_title)
    bare = title.str.replace(r"\s*\(\d{4}\)$", "")
    genres = pl.col("class").fill_null("").str.split(" ")
    return raw.select(
        pl.col("item_id").alias(ITEM),
        pl.when(year.is_null())
        .then(title)
        .otherwise(pl.concat_str(bare, pl.lit(" ("), year, pl.lit(")")))
        .alias(TEXT),
        year.alias(YEAR),
        genres.list.filter(~pl.element().is_in(["", "unknown"])).alias(GENRES),
    )
