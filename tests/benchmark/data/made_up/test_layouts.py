"""What `write_layout` writes, read by small readers of this test's own."""

import ast
import csv
import gzip
import hashlib
import json
import zipfile
from pathlib import Path

import pytest
import yaml

from benchmark.data.made_up.layouts import LAYOUTS, MOVIELENS, write_layout
from benchmark.data.made_up.synthetic import SyntheticSettings, make_frames
from benchmark.errors import UserError
from benchmark.schema import ITEM, TEXT, TIMESTAMP, USER

SETTINGS = SyntheticSettings(users=30, items=40, events=(5, 12), titled=True, seed=3)
AMAZON = {
    "amazon-2014": ("reviews_Toys_5.json.gz", "reviewerID", "asin", "overall", "unixReviewTime"),
    "amazon-2018": ("Toys_5.json.gz", "reviewerID", "asin", "overall", "unixReviewTime"),
    "amazon-2023": ("Toys.jsonl.gz", "user_id", "parent_asin", "rating", "timestamp"),
}


def json_lines(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def events(settings=SETTINGS):
    catalog, chunks = make_frames(settings)
    return catalog, [row for chunk in chunks for row in chunk.iter_rows(named=True)]


def ratings_of(folder: Path) -> list[list[str]]:
    if (folder / "ratings.csv").exists():
        with open(folder / "ratings.csv", newline="") as lines:
            head, *rows = csv.reader(lines)
        assert head == ["userId", "movieId", "rating", "timestamp"]
        return rows
    return [line.split("::") for line in (folder / "ratings.dat").read_text().splitlines()]


def movies_of(folder: Path) -> list[list[str]]:
    if (folder / "movies.csv").exists():
        with open(folder / "movies.csv", newline="", encoding="utf-8") as lines:
            head, *rows = csv.reader(lines)
        assert head == ["movieId", "title", "genres"]
        return rows
    encoding = "latin-1" if folder.name == "ml-1m" else "utf-8"
    text = (folder / "movies.dat").read_bytes().decode(encoding)
    return [line.split("::") for line in text.splitlines()]


@pytest.mark.parametrize("layout", MOVIELENS)
@pytest.mark.parametrize("quirks", [False, True])
def test_movielens_has_the_worlds_events(tmp_path, layout, quirks):
    folder = write_layout(layout, tmp_path, SETTINGS, quirks=quirks)
    catalog, expected = events()
    rows = ratings_of(folder)
    found = {(int(user), int(item), int(time)) for user, item, _, time in rows}
    assert found == {(row[USER], row[ITEM], row[TIMESTAMP]) for row in expected}
    assert len(rows) == len(expected)
    users = [int(row[0]) for row in rows]
    assert users == sorted(users)
    halves = {row[2] for row in rows if float(row[2]) % 1}
    assert bool(halves) == (layout != "ml-1m")
    wholes = {row[2] for row in rows} - halves
    assert all(("." in whole) == (layout not in ("ml-1m", "ml-10m")) for whole in wholes)
    movies = movies_of(folder)
    assert [int(movie) for movie, _, _ in movies] == catalog[ITEM].to_list()
    if not quirks:
        assert [title for _, title, _ in movies] == catalog[TEXT].to_list()
        assert [genres.split("|") for *_, genres in movies] == catalog["genres"].to_list()
    else:
        titles = [title for _, title, _ in movies]
        assert any(", The" in title for title in titles)
        assert any(title.endswith("  ") for title in titles)
        assert any('"' in title and "é" in title for title in titles)
        assert any(title.endswith("- )") for title in titles)
        assert any(genres == "(no genres listed)" for *_, genres in movies)


def test_movielens_as_one_archive(tmp_path):
    archive = write_layout("ml-1m", tmp_path, SETTINGS, zipped=True)
    assert archive == tmp_path / "ml-1m.zip"
    with zipfile.ZipFile(archive) as packed:
        names = set(packed.namelist())
        rows = packed.read("ml-1m/ratings.dat").decode().splitlines()
    assert names == {
        f"ml-1m/{name}" for name in ("ratings.dat", "movies.dat", "users.dat", "README")
    }
    assert len(rows) == len(events()[1])


@pytest.mark.parametrize("layout", AMAZON)
def test_amazon_has_the_worlds_reviews(tmp_path, layout):
    name, user, item, rating, time = AMAZON[layout]
    assert write_layout(f"{layout}/Toys", tmp_path, SETTINGS) == tmp_path
    rows = json_lines(tmp_path / name)
    _, expected = events()
    text = "text" if layout == "amazon-2023" else "reviewText"
    found = sorted((row[user][-6:], row[item][-6:], row[rating], row[text]) for row in rows)
    assert found == sorted(
        (f"{row[USER]:06d}", f"{row[ITEM]:06d}", float(row["rating"]), row[TEXT])
        for row in expected
    )
    for who in {row[user] for row in rows}:  # the order of what a user did is kept
        mine = [row for row in rows if row[user] == who]
        assert [row[time] for row in mine] == sorted(row[time] for row in mine)
        theirs = [row[ITEM] for row in expected if f"{row[USER]:06d}" == who[-6:]]
        assert [int(row[item][-6:]) for row in mine] == theirs
    if layout != "amazon-2023":
        assert all(row[time] % 86_400 == 0 for row in rows)


def test_amazon_metadata_has_the_worlds_titles_and_genres(tmp_path):
    catalog, _ = events()
    titles = catalog[TEXT].str.replace(r" \(\d{4}\)$", "").to_list()
    genres = catalog["genres"].to_list()
    for layout in AMAZON:
        write_layout(f"{layout}/Toys", tmp_path, SETTINGS)
    with gzip.open(tmp_path / "meta_Toys.json.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]  # 2018, which was written over 2014
    assert [row["title"] for row in rows] == titles
    assert [row["category"] for row in rows] == [["Toys", *own] for own in genres]
    assert all(row["price"].startswith("$") for row in rows)
    rows = json_lines(tmp_path / "meta_Toys.jsonl.gz")
    assert [row["title"] for row in rows] == titles
    assert [row["categories"] for row in rows] == [["Toys", *own] for own in genres]
    write_layout("amazon-2014/Toys", tmp_path, SETTINGS)
    with gzip.open(tmp_path / "meta_Toys.json.gz", "rt") as lines:
        rows = [ast.literal_eval(line) for line in lines]
    assert [row["title"] for row in rows] == titles
    assert [row["categories"] for row in rows] == [[["Toys", one] for one in own] for own in genres]


def test_google_has_the_worlds_reviews(tmp_path):
    write_layout("google-local/Nowhere", tmp_path, SETTINGS)
    rows = json_lines(tmp_path / "review-Nowhere.json.gz")
    catalog, expected = events()
    found = sorted((int(row["user_id"][1:]), row["time"] // 1000, row["rating"]) for row in rows)
    assert found == sorted((row[USER], row[TIMESTAMP], row["rating"]) for row in expected)
    silent = sum(row["text"] is None for row in rows) / len(rows)
    assert 0.2 < silent < 0.5
    places = json_lines(tmp_path / "meta-Nowhere.json.gz")
    assert {row["gmap_id"] for row in rows} <= {place["gmap_id"] for place in places}
    assert [place["category"] for place in places] == catalog["genres"].to_list()


@pytest.mark.parametrize("layout", [*AMAZON, "google-local"])
def test_quirks_of_reviews_are_there(tmp_path, layout):
    write_layout(f"{layout}/Toys", tmp_path, SETTINGS, quirks=True)
    google = layout == "google-local"
    reviews, meta = (
        next(path for path in tmp_path.iterdir() if ("meta" in path.name) == is_meta)
        for is_meta in (False, True)
    )
    rows = json_lines(reviews)
    assert len({json.dumps(row) for row in rows}) < len(rows)
    text = "text" if google or layout == "amazon-2023" else "reviewText"
    said = [row.get(text) or "" for row in rows]
    assert any("<br />" in one for one in said)
    assert any("&amp;" in one for one in said)
    assert "" in said
    if layout == "amazon-2018":
        assert any("reviewText" not in row for row in rows)
        assert any("summary" not in row for row in rows)
    if layout == "amazon-2014":
        with gzip.open(meta, "rt") as lines:
            items = [ast.literal_eval(line) for line in lines]
        assert any("title" not in item for item in items)
        assert any("categories" not in item for item in items)
        return
    items = json_lines(meta)
    assert len({json.dumps(item) for item in items}) < len(items)
    category = {"amazon-2018": "category", "amazon-2023": "categories"}.get(layout, "category")
    assert any(not item[category] for item in items)
    title = "name" if google else "title"
    assert any(not item[title] for item in items)
    if layout == "amazon-2018":
        assert any("getTime" in item["title"] for item in items)


def test_own_files_and_what_their_columns_mean(tmp_path):
    for quirks in (False, True):
        file = write_layout("own/shop", tmp_path, SETTINGS, quirks=quirks)
        columns = yaml.safe_load((tmp_path / "columns.yaml").read_text())
        with open(file, newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        catalog, expected = events()
        assert len(rows) == len(expected)
        named = [columns[name] for name in ("user", "item", "timestamp", "title", "text", "label")]
        named += [*columns["features"], *columns["item_features"]]
        assert set(named) == set(rows[0])
        titles = dict(zip(catalog[ITEM], catalog[TEXT], strict=True))
        for row in rows:
            assert row[columns["title"]] == titles[int(row[columns["item"]][1:])]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_settings_give_the_same_bytes(tmp_path, layout):
    sums = []
    for name in ("one", "two"):
        write_layout(layout, tmp_path / name, SETTINGS, quirks=True)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        sums.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert sums[0] == sums[1]


def test_an_unknown_layout_is_named():
    with pytest.raises(UserError, match="unknown layout 'ml-2m'"):
        write_layout("ml-2m", Path("nowhere"), SETTINGS)
    assert not Path("nowhere").exists()


def test_a_bulk_world_in_several_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.data.made_up.synthetic_bulk.USERS_AT_ONCE", 8)
    settings = SyntheticSettings(users=30, items=40, events=(5, 12), bulk=True)
    rows = ratings_of(write_layout("ml-20m", tmp_path, settings))
    assert [int(row[0]) for row in rows] == sorted(int(row[0]) for row in rows)
    assert {int(row[0]) for row in rows} == set(range(1, 31))
    assert len({(row[0], row[1]) for row in rows}) == len(rows)
