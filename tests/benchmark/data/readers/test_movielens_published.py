"""The archives of GroupLens themselves, where they are here."""

import os
from pathlib import Path

import pytest

from benchmark.data.raw import PrepareSettings
from benchmark.data.readers.movielens_files import read_movielens
from benchmark.data.readers.movielens_sets import PUBLISHED

FOLDER = os.environ.get("USERLLM_BENCH_TEST_DATA", "")


@pytest.mark.parametrize(
    ("name", "users", "rated", "movies", "genres", "no_genres", "no_year", "same_titles"),
    [
        ("ml-1m", 6040, 3706, 3883, 18, 0, 0, 0),
        ("ml-latest-small", 610, 9724, 9742, 19, 34, 12, 5),
    ],
)
def test_the_publishers_files(name, users, rated, movies, genres, no_genres, no_year, same_titles):
    archive = Path(FOLDER) / f"{name}.zip"
    if not FOLDER or not archive.is_file():
        pytest.skip(f"{name}.zip is not in $USERLLM_BENCH_TEST_DATA, which may not be shipped")
    raw = read_movielens(name, archive, PrepareSettings())
    assert len(raw.events) == PUBLISHED[name].ratings
    assert (raw.events["user"].n_unique(), raw.events["item"].n_unique()) == (users, rated)
    assert raw.counts == {}
    assert raw.notes == ()
    assert len(raw.catalog) == movies
    assert raw.features[2].cardinality == genres
    assert (raw.catalog["genres"].list.len() == 0).sum() == no_genres
    assert raw.catalog["year"].null_count() == no_year
    assert movies - raw.catalog["text"].n_unique() == same_titles
