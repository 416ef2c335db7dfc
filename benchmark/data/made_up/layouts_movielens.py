"""The layouts of MovieLens: two kinds of files, from 1998 and from 2014 on."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.data.made_up.layouts import Sheet
from benchmark.schema import ITEM, TEXT, TIMESTAMP, USER

NO_GENRES = "(no genres listed)"


def write_movielens_csv(sheet: Sheet) -> Path:
    """`ratings.csv`, `movies.csv`, `tags.csv`, `links.csv`; half stars; by user, then movie.

    Quirks: titles with commas, quotes, accents and spaces at the end; years as `(2007- )`;
    movies without genres.
    """
    folder = sheet.folder / sheet.layout
    folder.mkdir(exist_ok=True)
    with open(folder / "ratings.csv", "wb") as out:
        for number, chunk in enumerate(sheet.chunks):
            frame = chunk.sort(USER, ITEM).select(
                pl.col(USER).alias("userId"),
                pl.col(ITEM).alias("movieId"),
                _half_stars().alias("rating"),
                TIMESTAMP,
            )
            frame.write_csv(out, include_header=number == 0, float_precision=1)
    movies = _movies(sheet)
    movies.write_csv(folder / "movies.csv")
    links = movies.select("movieId", imdbId=pl.col("movieId").cast(pl.String).str.zfill(7))
    links.with_columns(tmdbId="movieId").write_csv(folder / "links.csv")
    (folder / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,1,a tag,1139045764\n")
    (folder / "README.txt").write_text("Made up by userllm-bench.\n")
    return folder


def write_movielens_dat(sheet: Sheet) -> Path:
    """`ratings.dat`, `movies.dat` with `::` between fields, and `users.dat` or `tags.dat`.

    `ml-1m` is in Latin-1 and has whole stars; `ml-10m` is in UTF-8, has half stars (whole ones
    without `.0`) and lies in `ml-10M100K/`. Quirks: as in the comma-separated layout.
    """
    old = sheet.layout == "ml-1m"
    folder = sheet.folder / ("ml-1m" if old else "ml-10M100K")
    folder.mkdir(exist_ok=True)
    half = _half_stars().cast(pl.String).str.strip_suffix(".0")
    stars = pl.col("rating").cast(pl.String) if old else half
    people: set[int] = set()
    with open(folder / "ratings.dat", "wb") as out:
        for chunk in sheet.chunks:
            frame = chunk if old else chunk.sort(USER, ITEM)
            line = pl.concat_str(USER, ITEM, stars, TIMESTAMP, separator="::")
            out.write(_lines(frame.select(line).to_series()))
            people.update(chunk[USER].unique())
    encoding = "latin-1" if old else "utf-8"
    movies = _movies(sheet)
    lines = movies.select(pl.concat_str("movieId", "title", "genres", separator="::"))
    (folder / "movies.dat").write_bytes(_lines(lines.to_series(), encoding))
    if old:
        users = "".join(f"{user}::F::25::10::48067\n" for user in sorted(people))
        (folder / "users.dat").write_text(users)
    else:
        (folder / "tags.dat").write_text("1::1::a tag::1139045764\n")
    (folder / "README").write_text("Made up by userllm-bench.\n")
    return folder


def _half_stars() -> pl.Expr:
    """Half a star less for every second pair of user and item, so that all ten values occur."""
    odd = (pl.col(USER) + pl.col(ITEM)) % 2
    return pl.col("rating").cast(pl.Float64) - 0.5 * odd.cast(pl.Float64)


def _movies(sheet: Sheet) -> pl.DataFrame:
    title = pl.col(TEXT)
    genres = pl.col("genres").list.join("|")
    if sheet.quirks:
        nth = pl.col(ITEM) % 11
        bare = title.str.replace(r" \(\d{4}\)$", "")
        title = (
            pl.when(nth == 1)
            .then(pl.format("{}, The{}", bare, title.str.slice(bare.str.len_chars())))
            .when(nth == 2)
            .then(pl.format('"{}" café{}', bare, title.str.slice(bare.str.len_chars())))
            .when(nth == 3)
            .then(pl.format("{}  ", title))
            .when((nth == 4) & pl.col("year").is_not_null())
            .then(pl.format("{} ({}- )", bare, "year"))
            .otherwise(title)
        )
        genres = pl.when(nth == 5).then(pl.lit(NO_GENRES)).otherwise(genres)
    return sheet.catalog.select(
        pl.col(ITEM).alias("movieId"), title.alias("title"), genres.alias("genres")
    )


def _lines(lines: pl.Series, encoding: str = "utf-8") -> bytes:
    return "".join(f"{line}\n" for line in lines).encode(encoding)
