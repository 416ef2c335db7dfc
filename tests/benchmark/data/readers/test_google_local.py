import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data.raw import PrepareSettings
from benchmark.data.readers.google_local import LABELS, read_google_local
from benchmark.errors import UserError
from tests.publishers import as_dataset, everything, write_lines

STRICT = PrepareSettings(broken=0)
NAME = "Wilhelmina Q. Ffoulkes"


def review(user: str, place: str, **facts: object) -> dict[str, object]:
    row = {
        "user_id": user,
        "name": NAME,
        "time": 1527878898905,
        "rating": 4,
        "text": f"{user} was here",
        "pics": [{"url": ["https://example.org/x"]}],
        "resp": {"time": 1527878899000, "text": f"Thank you, {NAME}!"},
        "gmap_id": place,
    }
    return {key: value for key, value in {**row, **facts}.items() if value is not ...}


def place(gmap_id: str, **facts: object) -> dict[str, object]:
    row = {
        "name": f"Place {gmap_id}",
        "address": "1 Main St",
        "gmap_id": gmap_id,
        "description": None,
        "latitude": 43.6,
        "category": ["Cafe", "Bakery"],
        "avg_rating": 4.9,
        "num_of_reviews": 148,
        "price": "$$",
        "MISC": {"Amenities": ["Wi-Fi"]},
    }
    return {key: value for key, value in {**row, **facts}.items() if value is not ...}


def read(folder: Path, reviews: list, places: list | None = None, settings=STRICT):
    write_lines(folder / "review-Vermont.json.gz", reviews)
    if places is not None:
        write_lines(folder / "meta-Vermont.json.gz", places)
    return read_google_local("google-local/Vermont", folder, settings)


def by_place(raw, column: str) -> dict[str, object]:
    return dict(raw.catalog.select("item", column).iter_rows())


def test_reviews_and_places(tmp_path):
    rows = [review("109922909062398701680", "0x1:0x2"), review("2", "0x1:0x2", rating=5, text=None)]
    raw = read(tmp_path, rows, [place("0x1:0x2"), place("0x9:0x9", name="never reviewed")])
    assert raw.events.columns == ["user", "item", "timestamp", "rating", "text"]
    assert raw.events.rows() == [
        ("109922909062398701680", "0x1:0x2", 1527878898, "4", "109922909062398701680 was here"),
        ("2", "0x1:0x2", 1527878898, "5", None),
    ]
    assert raw.catalog.rows() == [("0x1:0x2", "Place 0x1:0x2", ["Cafe", "Bakery"])]
    assert raw.label_feature == "categories"
    assert raw.counts == {"reviews without text": 1, "rows of places without reviews": 1}
    assert as_dataset(raw).events.num_events == 2


def test_no_personal_name_gets_through(tmp_path):
    raw = read(tmp_path, [review("1", "a"), review("2", "a", name=...)], [place("a")])
    assert "Ffoulkes" not in everything(raw)
    assert "example.org" not in everything(raw)


def test_what_was_counted_after_the_reviews_is_left_out(tmp_path):
    raw = read(tmp_path, [review("1", "a")], [place("a")])
    assert [feature.name for feature in raw.features] == ["rating", "categories"]
    assert "148" not in everything(raw)


def test_rows_that_are_the_same_to_the_millisecond_are_dropped(tmp_path):
    rows = [review("1", "a"), review("1", "a"), review("1", "a", time=1527878898906)]
    raw = read(tmp_path, [*rows, review("1", "a", pics=None)], [place("a")])
    assert raw.counts["exact duplicates"] == 2
    assert raw.events["timestamp"].to_list() == [1527878898, 1527878898]


def test_quirks_of_places(tmp_path):
    places = [
        place("a", category=None),
        place("a", category=["Cafe", "Cafe", None, "Bar & grill"]),
        place("b", category=...),
        place("c", name=None, category=[]),
        place("c", name=None, category=[]),
        place("d", name=...),
        place("e", name="  Bob&#39;s\n Diner ", category="Diner"),
    ]
    raw = read(tmp_path, [review("1", item) for item in "abcdef"], places)
    assert by_place(raw, "text") == {
        "a": "Place a", "b": "Place b", "c": None, "d": None, "e": "Bob's Diner", "f": None,
    }  # fmt: skip
    assert by_place(raw, "categories") == {
        "a": ["Cafe", "Bar & grill"], "b": None, "c": None, "d": ["Cafe", "Bakery"], "e": ["Diner"],
        "f": None,
    }  # fmt: skip
    assert raw.counts == {
        "repeated rows of items": 2,
        "places without metadata": 1,
        "places without name": 3,
        "places without category": 3,
    }


def test_places_without_any_category_or_without_metadata(tmp_path):
    raw = read(tmp_path / "a", [review("1", "a")], [place("a", category=None)])
    assert raw.label_feature == ""
    assert raw.catalog.columns == ["item", "text"]
    raw = read(tmp_path / "b", [review("1", "a")])
    assert raw.catalog.rows() == [("a", None)]
    assert any("no metadata" in note for note in raw.notes)


def test_at_most_so_many_categories(tmp_path):
    places = [place(f"p{n:04}", category=[f"K{n:04}", "Store"]) for n in range(LABELS + 10)]
    raw = read(tmp_path, [review("1", row["gmap_id"]) for row in places], places)
    labels = raw.features[1].labels
    assert len(labels) == LABELS
    assert "Store" in labels
    assert raw.catalog["categories"].null_count() == 0


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("(Translated by Google) Good food\n\n(Original)\nBuena comida", "Good food"),
        ("(Translated by Google) Good food", "Good food"),
        ("Fine. (Original) menu", "Fine. (Original) menu"),
        ("", None),
        ("  ", None),
        (None, None),
        (..., None),
        ("Tom &amp; Ann<br>liked it", "Tom & Ann liked it"),
        ("sup\ud83d", "sup?"),
        ("\U0001f44d", "\U0001f44d"),
        (5, "5"),
    ],
)
def test_texts(tmp_path, text, kept):
    raw = read(tmp_path, [review("1", "a", text=text), review("2", "a")])
    assert raw.events["text"].to_list() == [kept, "2 was here"]


def test_ratings_and_ids_of_other_types(tmp_path):
    rows = [
        review("1", "a", rating=None),
        review("1", "b", rating=0),
        review("1", "c", rating="5"),
        review("1", "d", rating=3.0),
        review(1, "e"),
    ]
    raw = read(tmp_path, rows)
    assert raw.events["rating"].to_list() == [None, None, "5", "3", "4"]
    assert raw.events["user"].unique().to_list() == ["1"]
    assert raw.counts["ratings that are none of 1 to 5"] == 2


@pytest.mark.parametrize(
    "broken",
    [
        review("1", "a", time="soon"),
        review("1", "a", time=None),
        review("1", "a", time=-1),
        review("1", "a", time=10**17),
        review("1", "a", time=True),
        review(None, "a"),
        review("", "a"),
        review("1", ...),
        "{",
        "[]",
        "null",
    ],
)
def test_a_broken_line(tmp_path, broken):
    rows = [*(review(str(n), "a") for n in range(9)), broken]
    with pytest.raises(UserError, match=r"review-Vermont\.json\.gz: 1 of 10 lines .* line 10: "):
        read(tmp_path, rows)
    raw = read(tmp_path, rows, settings=PrepareSettings(broken=0.1))
    assert raw.counts["broken lines"] == 1
    assert len(raw.events) == 9


@pytest.mark.parametrize(
    ("file", "made_up"),
    [
        ("review-Vermont.json.gz", False),
        ("review-Vermont.SYNTHETIC.json.gz", True),
        ("review-Vermont_10.json.gz", False),
        ("synthetic/review-vermont.json", False),
    ],
)
def test_names_of_the_review_file(tmp_path, file, made_up):
    write_lines(tmp_path / file, [review("1", "a")], packed=file.endswith("gz"))
    write_lines(tmp_path / "meta-Vermont.json.gz", [place("a")])
    raw = read_google_local("google-local/Vermont", tmp_path, STRICT)
    assert by_place(raw, "text") == {"a": "Place a"}
    assert any("made up (synthetic)" in note for note in raw.notes) is made_up
    assert all(str(tmp_path) not in note for note in raw.notes)


def test_out_of_a_zip(tmp_path):
    reviews = write_lines(tmp_path / "in" / "review-New_York.json.gz", [review("1", "a")])
    places = write_lines(tmp_path / "in" / "meta-New_York.json.gz", [place("a")])
    with zipfile.ZipFile(tmp_path / "google.zip", "w") as archive:
        archive.write(reviews, "x/review-New_York.json.gz")
        archive.write(places, "x/meta-New_York.json.gz")
    raw = read_google_local("google-local/New_York", tmp_path / "google.zip", STRICT)
    assert by_place(raw, "text") == {"a": "Place a"}


@pytest.mark.parametrize(
    ("file", "rows", "message"),
    [
        ("review-Texas.json.gz", [review("1", "a")], r"review-Vermont\.json"),
        ("review-Vermont.json.gz", [{"reviewerID": "A", "asin": "B"}], "'user_id' is missing"),
        ("review-Vermont.json.gz", [place("a")], "'user_id' is missing"),
        ("review-Vermont.json.gz", [review("1", "a", rating=...)], "rating"),
        ("review-Vermont.json.gz", [], "empty"),
    ],
)
def test_files_of_something_else(tmp_path, file, rows, message):
    write_lines(tmp_path / file, rows)
    with pytest.raises(UserError, match=message) as caught:
        read_google_local("google-local/Vermont", tmp_path, STRICT)
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["user_id", "gmap_id", "time", "rating", "text"]), JSON))
@settings(max_examples=100, deadline=None)
def test_whatever_a_line_holds_it_is_read_or_broken(tmp_path_factory, facts):
    folder = tmp_path_factory.mktemp("google")
    rows = [review("1", "a"), review("9", "z", **facts)]
    raw = read(folder, rows, [place("a")], settings=PrepareSettings(broken=1))
    assert (
        len(raw.events) + raw.counts.get("broken lines", 0) + raw.counts.get("exact duplicates", 0)
        == 2
    )
    as_dataset(raw)


REAL = os.environ.get("USERLLM_BENCH_TEST_DATA")


@pytest.mark.skipif(REAL is None, reason="USERLLM_BENCH_TEST_DATA names no folder of real files")
def test_real_places_of_vermont():
    raw = read_google_local("google-local/Vermont", Path(str(REAL)) / "google-local-2021", STRICT)
    assert raw.counts["exact duplicates"] == 120
    assert len(raw.events) == 33_686 - 120
    assert raw.events["user"].n_unique() == 600
    assert raw.catalog["text"].null_count() == 0
    assert not raw.events["text"].drop_nulls().str.contains("User \\d").any()
    assert raw.counts["places without category"] == 15
    assert any("synthetic" in note for note in raw.notes)
