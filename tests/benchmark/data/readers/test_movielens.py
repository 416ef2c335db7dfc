import importlib.util
import subprocess
import sys

import polars as pl
import pytest

from benchmark.data.leaks import find_leaks
from benchmark.data.readers import movielens
from benchmark.data.splits import split_last
from benchmark.errors import UserError

RAW = pl.DataFrame(
    [
        ("1", "Usual Suspects, The", "1995", "Crime Thriller"),
        ("2", "unkonwn", "unkonwn", "unknown"),
        ("3", "Land Before Time III (1995)", "V", "Animation Children's"),
        ("4", "Good Morning", "1971", "unknown"),
        ("5", "Seven (Se7en)", "1995", "Crime"),
        ("6", "20,000 Leagues Under the Sea", "1954", "Sci-Fi"),
    ],
    schema=["item_id", "movie_title", "release_year", "class"],
    orient="row",
)

needs_recbole = pytest.mark.skipif(
    importlib.util.find_spec("recbole") is None,
    reason=f"the files of ml-100k are missing: {movielens.INSTALL_RECBOLE}",
)


def test_the_catalogues_quirks():
    tidy = movielens.tidy_catalog(RAW)
    assert tidy["text"].to_list() == [
        "Usual Suspects, The (1995)",
        "unknown",
        "Land Before Time III (1995)",
        "Good Morning (1971)",
        "Seven (Se7en) (1995)",
        "20,000 Leagues Under the Sea (1954)",
    ]
    assert tidy["year"].to_list() == ["1995", None, "1995", "1971", "1995", "1954"]
    assert tidy["genres"].to_list()[:4] == [
        ["Crime", "Thriller"],
        [],
        ["Animation", "Children's"],
        [],
    ]


def test_without_recbole_the_error_names_the_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install --no-deps recbole==1\.2\.1"):
        movielens.load_ml_100k()


@needs_recbole
def test_ml_100k():
    data = movielens.load_ml_100k()
    assert (data.events.num_users, len(data.catalog), data.events.num_events) == (
        943,
        1682,
        100_000,
    )
    assert not data.has_repeats
    assert data.facts["duplicate_texts"] == 18
    assert data.events.schema.given.names == ("item", "rating", "year", "genres")
    assert data.events.schema.names[4:] == ("gap",)
    assert data.events.schema["genres"].cardinality == 18
    assert data.events.columns["rating"].min() == 1
    assert (data.catalog.columns["year"][1:] == 0).sum() == 1
    split = split_last(data)
    assert find_leaks(data, split) == []
    assert round(split.facts["test_targets_tied"] / 943, 2) == 0.44
    # Anybody who sorts the same files in the stated way has these targets.
    assert split.target_hash == "bc5fa811285c70f926425d859e8b3f4482ad8557ff457c8210283c1d611905ee"


@needs_recbole
def test_reading_ml_100k_does_not_import_recbole():
    code = (
        "import sys; from benchmark.data.readers.movielens import load_ml_100k; load_ml_100k();"
        "sys.exit('recbole' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
