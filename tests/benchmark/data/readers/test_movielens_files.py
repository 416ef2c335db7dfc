"""MovieLens files in their publisher's layout, with what can be awkward or wrong about them."""

import gzip
import logging
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data.dataset import build_dataset
from benchmark.data.raw import PrepareSettings
from benchmark.data.readers import movielens_files
from benchmark.data.readers.movielens_files import read_movielens
from benchmark.data.readers.movielens_sets import HALF_STARS, PUBLISHED
from benchmark.datasets import DATASETS
from benchmark.errors import UserError
from benchmark.tables import default_tables

CSV_SETS = [name for name, published in PUBLISHED.items() if not published.dat]
BEAR_HALF = PrepareSettings(broken=0.5)

RATINGS = [(1, 10, 4.0, 100), (1, 20, 3.0, 101), (2, 10, 5.0, 50), (2, 30, 1.0, 60)]
MOVIES = [
    (10, "Toy Story (1995)", "Animation|Comedy"),
    (20, "Usual Suspects, The (1995)", "Crime"),
    (30, "Solaris", "(no genres listed)"),
]


def csv_files(ratings=RATINGS, movies=MOVIES):
    rows = "".join(f"{u},{i},{r},{t}\n" for u, i, r, t in ratings)
    quoted = ((i, f'"{title}"' if "," in title else title, g) for i, title, g in movies)
    lines = "".join(f"{i},{title},{genres}\n" for i, title, genres in quoted)
    return {
        "ratings.csv": f"userId,movieId,rating,timestamp\n{rows}".encode(),
        "movies.csv": f"movieId,title,genres\n{lines}".encode(),
    }


def dat_files(ratings=RATINGS, movies=MOVIES, encoding="latin-1"):
    rows = "".join(f"{u}::{i}::{r:g}::{t}\n" for u, i, r, t in ratings)
    lines = "".join("::".join(map(str, movie)) + "\n" for movie in movies)
    return {"ratings.dat": rows.encode(), "movies.dat": lines.encode(encoding)}


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def read(name, source, settings=None):
    return read_movielens(name, source, settings or PrepareSettings())


def events(raw):
    return [(u, i, float(r), t) for u, i, r, t in raw.events.rows()]


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("packed", [False, True])
def test_each_set_in_its_layout(tmp_path, name, packed):
    published = PUBLISHED[name]
    files = dat_files() if published.dat else csv_files()
    source = put(tmp_path / published.folder, {**files, "README.txt": b"", "users.dat": b"1::F"})
    if packed:
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for file in sorted(source.iterdir()):
                archive.write(file, f"{source.name}/{file.name}")
        source = tmp_path / f"{name}.zip"
    raw = read(name, source)
    assert events(raw) == RATINGS
    assert raw.catalog.rows() == [
        (10, "Toy Story (1995)", "1995", ["Animation", "Comedy"]),
        (20, "Usual Suspects, The (1995)", "1995", ["Crime"]),
        (30, "Solaris", None, []),
    ]
    assert [feature.name for feature in raw.features] == ["rating", "year", "genres"]
    assert raw.features[0].labels == (tuple("12345") if name == "ml-1m" else HALF_STARS)
    assert raw.label_feature == "genres"
    assert raw.counts == {}
    assert raw.notes == (
        f"these are not the files of {name} as published: 4 ratings,"
        f" {published.ratings:,} are published",
    )
    data = build_dataset(
        name, raw.events, raw.catalog, raw.features, source="", licence="", citation=""
    )
    assert (data.events.num_users, len(data.catalog), data.events.num_events) == (2, 3, 4)


def test_half_stars(tmp_path):
    ratings = [(1, 10, stars / 2, 100 + stars) for stars in range(1, 11)]
    raw = read("ml-20m", put(tmp_path, csv_files(ratings)))
    assert raw.events["rating"].to_list() == list(HALF_STARS)
    raw = read("ml-10m", put(tmp_path, dat_files(ratings)))
    assert raw.events["rating"].to_list() == list(HALF_STARS)


@pytest.mark.parametrize(
    ("title", "text", "year"),
    [
        ("Toy Story (1995) ", "Toy Story (1995)", "1995"),
        ("  Toy   Story\t(1995)", "Toy Story (1995)", "1995"),
        ("Series (2007-)", "Series (2007-)", "2007"),
        ("Series (2007- )", "Series (2007- )", "2007"),
        ("Desu nôto (2006–2007)", "Desu nôto (2006–2007)", "2006"),
        ("Love (Rakkaus) (1983))", "Love (Rakkaus) (1983))", "1983"),
        ("Seven (Se7en) (1995)", "Seven (Se7en) (1995)", "1995"),
        ("2001: A Space Odyssey (1968)", "2001: A Space Odyssey (1968)", "1968"),
        ("Babylon 5", "Babylon 5", None),
        ("1984", "1984", None),
        ("(500) Days", "(500) Days", None),
        ("Far Off (9999)", "Far Off (9999)", None),
        ('"Great Performances" Cats (1998)', '"Great Performances" Cats (1998)', "1998"),
        ("Zażółć ☃ (2010)", "Zażółć ☃ (2010)", "2010"),
        ("", None, None),
        ("  ", None, None),
    ],
)
def test_titles_and_years(tmp_path, title, text, year):
    others = [(10, "Other (1990)", "Crime"), (30, "Another (1991)", "Crime")]
    quoted = '"' + title.replace('"', '""') + '"'
    files = csv_files(movies=others)
    files["movies.csv"] += f"20,{quoted},Crime\n".encode()
    catalog = read("ml-25m", put(tmp_path / "csv", files)).catalog
    assert catalog.row(2) == (20, text, year, ["Crime"])
    files = dat_files(movies=[*others, (20, title, "Crime")], encoding="utf-8")
    catalog = read("ml-10m", put(tmp_path / "dat", files)).catalog
    assert catalog.row(2) == (20, text, year, ["Crime"])


@pytest.mark.parametrize(
    ("genres", "expected"),
    [
        ("Crime|Drama", ["Crime", "Drama"]),
        ("(no genres listed)", []),
        ("", []),
        ("Crime||Crime| Drama ", ["Crime", "Drama"]),
        ("Children's|Film-Noir", ["Children's", "Film-Noir"]),
    ],
)
def test_genres(tmp_path, genres, expected):
    movies = [*MOVIES[:2], (30, "Solaris (1972)", genres)]
    assert read("ml-20m", put(tmp_path, csv_files(movies=movies))).catalog["genres"][
        2
    ].to_list() == (expected)


def test_a_catalogue_without_genres_or_years_has_no_such_feature(tmp_path):
    movies = [(item, "A title", "(no genres listed)") for item in (10, 20, 30)]
    raw = read("ml-20m", put(tmp_path, csv_files(movies=movies)))
    assert [feature.name for feature in raw.features] == ["rating"]
    assert raw.catalog.columns == ["item", "text"]
    assert raw.label_feature == ""


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig", "utf-16"])
def test_ml_1m_in_any_encoding(tmp_path, encoding):
    movies = [
        (10, "Misérables, Les (1995)", "Drama"),
        (20, "Déjà :: Vu (1998)", "Drama"),
        MOVIES[2],
    ]
    raw = read("ml-1m", put(tmp_path, dat_files(movies=movies, encoding=encoding)))
    assert raw.catalog["text"].to_list() == [
        "Misérables, Les (1995)",
        "Déjà :: Vu (1998)",
        "Solaris",
    ]
    assert raw.counts == {"lines with separators inside a field": 1}


def mend(files, name, old, new):
    assert old in files[name]
    return {**files, name: files[name].replace(old, new)}


@pytest.mark.parametrize(
    "change",
    [
        lambda files: {name: data.replace(b"\n", b"\r\n") for name, data in files.items()},
        lambda files: {name: data.rstrip(b"\n") for name, data in files.items()},
        lambda files: {name: b"\xef\xbb\xbf" + data for name, data in files.items()},
        lambda files: {name: data.decode().encode("utf-16") for name, data in files.items()},
        lambda files: {name: data.replace(b"\n", b",\n") for name, data in files.items()},
        lambda files: {name: data.replace(b"\n", b",x\n") for name, data in files.items()},
        lambda files: {name: gzip.compress(data) for name, data in files.items()},
        lambda files: {f"{name}.gz": gzip.compress(data) for name, data in files.items()},
        lambda files: {name.upper(): data for name, data in files.items()},
        lambda files: mend(files, "ratings.csv", b"0,4.0,100\n", b"0,4,100.0\n"),
        lambda files: mend(files, "ratings.csv", b"4.0,100", b'"4.0","100"'),
        lambda files: mend(files, "ratings.csv", b"4.0,100", b"4.0,100.75"),
        lambda files: mend(files, "ratings.csv", b"\n1,10,", b"\n\n1, 10 ,"),
    ],
)
def test_quirks_that_change_nothing(tmp_path, change):
    raw = read("ml-20m", put(tmp_path, change(csv_files())))
    assert events(raw) == RATINGS
    assert raw.catalog["text"].to_list() == [title for _, title, _ in MOVIES]
    assert raw.counts == {}


def test_columns_in_another_order(tmp_path):
    files = csv_files()
    rows = "".join(f"{t},{r},x,{i},{u}\n" for u, i, r, t in RATINGS)
    files["ratings.csv"] = f"timestamp,rating,tag,movieId,userId\n{rows}".encode()
    assert events(read("ml-20m", put(tmp_path, files))) == RATINGS


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,20,0.0,1", "'rating' 0.0 is no half star from 0.5 to 5.0"),
        ("1,20,5.5,1", "'rating' 5.5 is no half star"),
        ("1,20,3.3,1", "is no half star"),
        ("1,20,good,1", "'rating' 'good' is no number"),
        ("1,20,3.0,yesterday", "'timestamp' 'yesterday' is no number"),
        ("1,20,3.0,2009-01-01 00:00:00", "is no number"),
        ("1,20,3.0,", "'timestamp' '' is no number"),
        ("1,20,3.0,nan", "'timestamp' 'nan' is no number"),
        ("1,20,3.0,-1", "'timestamp' -1.0 is no time of the years 1970 to 2099"),
        ("1,20,3.0,964982703000", "is no time of the years 1970 to 2099 in seconds"),
        ("1,20,3.0,1e300", "is no time of the years"),
        ("-1,20,3.0,1", "'userId' '-1' is no whole number"),
        ("ann,20,3.0,1", "'userId' 'ann' is no whole number"),
        ("1,20,3.0", "4 fields are expected, not 3"),
        ("1,20,3.0,1,1", "4 fields are expected, not 5"),
    ],
)
def test_a_broken_rating(tmp_path, row, reason, caplog):
    files = csv_files(RATINGS * 3)
    files["ratings.csv"] += f"{row}\n7,30,2.0,9\n".encode()
    source = put(tmp_path, files)
    with caplog.at_level(logging.WARNING):
        raw = read("ml-20m", source, BEAR_HALF)
    assert events(raw)[-1] == (7, 30, 2.0, 9)
    assert raw.counts["broken lines"] == 1
    assert f"{tmp_path}/ratings.csv: 1 broken lines were skipped; line 14: " in caplog.text
    assert reason in caplog.text
    with pytest.raises(
        UserError, match=r"ratings.csv: 1 of 14 lines are broken.*line 14: "
    ) as error:
        read("ml-20m", source)
    assert reason in str(error.value)


def test_half_stars_where_stars_are_whole(tmp_path):
    source = put(tmp_path, dat_files([*RATINGS, (1, 30, 3.5, 9)]))
    with pytest.raises(UserError, match=r"line 5: 'rating' 3.5 is no whole star from 1 to 5"):
        read("ml-1m", source)
    assert len(read("ml-1m", source, BEAR_HALF).events) == 4


@pytest.mark.parametrize("name", ["ml-20m", "ml-1m"], ids=["in order of pairs", "in order of time"])
def test_rows_that_stand_twice(tmp_path, name):
    rows = [*RATINGS, RATINGS[0], RATINGS[0], (1, 10, 4.0, 999), (1, 10, 2.0, 100), RATINGS[3]]
    files = dat_files(rows) if name == "ml-1m" else csv_files(rows)
    raw = read(name, put(tmp_path, files))
    assert events(raw) == [*RATINGS, (1, 10, 4.0, 999), (1, 10, 2.0, 100)]
    assert raw.counts == {"exact duplicates": 3}
    assert raw.notes[0] == (
        "2 ratings are of a movie that the user had rated before; they are kept"
    )


ROW = st.tuples(
    st.integers(0, 3), st.sampled_from([10, 20]), st.sampled_from([0.5, 4.0]), st.integers(0, 2)
)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=12))
def test_what_is_left_of_rows_that_stand_twice(tmp_path_factory, rows):
    raw = read("ml-20m", put(tmp_path_factory.mktemp("rows"), csv_files(rows)))
    assert events(raw) == list(dict.fromkeys(rows))
    assert raw.counts.get("exact duplicates", 0) == len(rows) - len(set(rows))
    repeated = len(set(rows)) - len({row[:2] for row in rows})
    assert (f"{repeated:,} ratings are of a movie" in raw.notes[0]) == (repeated > 0)


def test_movies_that_stand_twice(tmp_path):
    movies = [*MOVIES, MOVIES[0], (30, "Solaris (1972)", "Drama")]
    raw = read("ml-20m", put(tmp_path, csv_files(movies=movies)))
    assert raw.catalog["item"].to_list() == [10, 20, 30]
    assert raw.catalog["text"][2] == "Solaris"  # the first title stays
    assert raw.counts == {"repeated rows of items": 2}


def test_movies_that_are_rated_and_unknown(tmp_path):
    raw = read("ml-20m", put(tmp_path, csv_files(movies=MOVIES[:2])))
    assert events(raw) == RATINGS  # preparation gives movie 30 its id as text, and counts it
    assert raw.catalog["item"].to_list() == [10, 20]
    with pytest.raises(UserError, match=r"movies.csv knows 1 of 3 rated movies: is it of another"):
        read("ml-20m", put(tmp_path, csv_files(movies=MOVIES[:1])))


# ------------------------------------------------------------------- files of another data set


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_folder_that_is_called_as_another_set(tmp_path, name):
    other = "ml-10m" if name == "ml-1m" else "ml-1m" if name == "ml-10m" else "ml-latest"
    files = dat_files() if PUBLISHED[name].dat else csv_files()
    folder = PUBLISHED[other].folder if other in PUBLISHED else other
    source = put(tmp_path / folder, files)
    with pytest.raises(UserError, match=rf"data set '{name}': .* is of {other}, another data set"):
        read(name, source)


def test_the_right_one_of_several_sets(tmp_path):
    put(tmp_path / "ml-25m", csv_files(RATINGS[:2]))
    put(tmp_path / "ml-20m", csv_files())
    assert len(read("ml-20m", tmp_path).events) == 4
    assert len(read("ml-25m", tmp_path).events) == 2
    with pytest.raises(UserError, match=r"which file is ratings.csv\?"):
        read("ml-32m", tmp_path)


def test_files_of_another_layout(tmp_path):
    source = put(tmp_path, csv_files())
    with pytest.raises(
        UserError, match=r"'ml-1m': .* no file called .*ratings.dat; there is movies"
    ):
        read("ml-1m", source)
    put(tmp_path, {"ratings.dat": csv_files()["ratings.csv"], "movies.dat": b"1::a::b\n"})
    with pytest.raises(UserError, match="5 of 5 lines are broken"):
        read("ml-1m", source)


def test_files_that_are_mixed_up(tmp_path):
    files = csv_files()
    source = put(tmp_path, {"ratings.csv": files["movies.csv"], "movies.csv": files["ratings.csv"]})
    with pytest.raises(
        UserError, match=r"must name the columns userId, movieId, rating, timestamp"
    ):
        read("ml-20m", source)
    files = dat_files([(1, n, 3, n + 5) for n in range(200)])
    put(tmp_path, {**files, "movies.dat": files["ratings.dat"]})
    with pytest.raises(UserError, match=r"200 genres\? This is no such file of MovieLens"):
        read("ml-1m", source)


@pytest.mark.parametrize("lacking", ["ratings.csv", "movies.csv"])
@pytest.mark.parametrize("how", ["absent", "empty", "header alone", "without header"])
def test_what_is_lacking(tmp_path, lacking, how):
    files = csv_files()
    lines = files.pop(lacking).splitlines(keepends=True)
    if how != "absent":
        kept = {"empty": [], "header alone": lines[:1], "without header": lines[1:]}[how]
        files[lacking] = b"".join(kept)
    says = {"absent": "no file called", "without header": "is the header missing"}
    with pytest.raises(UserError, match=says.get(how, "is empty")):
        read("ml-20m", put(tmp_path, files))


@settings(max_examples=60, deadline=None)
@given(ratings=st.binary(max_size=120), movies=st.binary(max_size=120), whole=st.booleans())
@pytest.mark.parametrize("name", ["ml-1m", "ml-10m", "ml-20m"])
def test_arbitrary_bytes_raise_nothing_but_user_errors(
    tmp_path_factory, name, ratings, movies, whole
):
    files = dat_files() if PUBLISHED[name].dat else csv_files()
    first, second = sorted(files, reverse=True)
    data = {first: files[first] + ratings, second: files[second] + movies}
    if not whole:
        data = {first: ratings, second: movies}
    try:
        raw = read(name, put(tmp_path_factory.mktemp("b"), data), PrepareSettings(broken=1.0))
    except UserError as error:
        message = str(error)
    else:
        message = ""
        assert len(raw.events)
    assert "\n" not in message


def test_the_registry_knows_them_all():
    tables = default_tables()
    for name in PUBLISHED:
        entry = tables.dataset(name)
        assert entry.load() is movielens_files.read_movielens
        assert entry.urls == (f"https://files.grouplens.org/datasets/movielens/{name}.zip",)
        assert name in entry.licence
        assert name in DATASETS
