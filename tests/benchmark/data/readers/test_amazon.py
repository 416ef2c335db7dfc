import logging
import zipfile
from pathlib import Path

import pytest

from benchmark.data.raw import PrepareSettings
from benchmark.data.readers.amazon import LABELS, read_amazon
from benchmark.errors import UserError
from benchmark.schema import FeatureKind
from tests.publishers import as_dataset, everything, write_lines

STRICT = PrepareSettings(broken=0)
NAME = "Ignatius Q. Featherstonehaugh"
DEBRIS = "var aPageStart = (new Date()).getTime();\nvar ue_t0=ue_t0||+new Date();"


def early(user: str, item: str, time: int = 1393545600, **facts: object) -> dict[str, object]:
    """A review of 2014 or 2018."""
    row = {
        "reviewerID": user,
        "asin": item,
        "reviewerName": NAME,
        "helpful": [0, 0],
        "reviewText": f"{user} on {item}",
        "overall": 5.0,
        "summary": "fine",
        "unixReviewTime": time,
        "reviewTime": "02 28, 2014",
    }
    return {key: value for key, value in {**row, **facts}.items() if value is not ...}


def late(user: str, item: str, **facts: object) -> dict[str, object]:
    """A review of 2023."""
    row = {
        "rating": 4.0,
        "title": "Nice &amp; small",
        "text": "Good<br />stuff",
        "images": [],
        "asin": f"{item}-red",
        "parent_asin": item,
        "user_id": user,
        "timestamp": 1588687728923,
        "helpful_vote": 0,
        "verified_purchase": True,
    }
    return {key: value for key, value in {**row, **facts}.items() if value is not ...}


def product(item: str, **facts: object) -> dict[str, object]:
    """Metadata of 2018."""
    row = {
        "category": ["Toys", "Games"],
        "description": ["<b>nothing to read</b>"],
        "title": f"Thing {item}",
        "also_buy": ["X"],
        "rank": "1,234 in Toys",
        "main_cat": "Toys",
        "price": "$7.99",
        "asin": item,
    }
    return {key: value for key, value in {**row, **facts}.items() if value is not ...}


def read_2018(folder: Path, reviews: list, items: list | None = None, settings=STRICT):
    write_lines(folder / "Toys_5.json.gz", reviews)
    if items is not None:
        write_lines(folder / "meta_Toys.json.gz", items)
    return read_amazon("amazon-2018/Toys", folder, settings)


def by_item(raw, column: str) -> dict[str, object]:
    return dict(raw.catalog.select("item", column).iter_rows())


def test_reviews_of_2014(tmp_path):
    rows = [
        early("A1", "B1", reviewText="1/4&#34; plug.<br />Works\nwell", summary="ok &amp; so"),
        early("A1", "B2", overall=1.0, reviewText=""),
        early("A2", "B1", reviewerName=..., summary=""),
    ]
    write_lines(tmp_path / "reviews_Toys_5.json.gz", rows)
    raw = read_amazon("amazon-2014/Toys", tmp_path, STRICT)
    assert raw.events.columns == ["user", "item", "timestamp", "rating", "text", "summary"]
    assert raw.events.rows() == [
        ("A1", "B1", 1393545600, "5", '1/4" plug. Works well', "ok & so"),
        ("A1", "B2", 1393545600, "1", None, "fine"),
        ("A2", "B1", 1393545600, "5", "A2 on B1", None),
    ]
    assert by_item(raw, "text") == {"B1": None, "B2": None}
    assert raw.label_feature == ""
    assert [feature.name for feature in raw.features] == ["rating"]
    assert raw.counts == {"reviews without text": 1}
    assert any("no metadata" in note for note in raw.notes)
    assert as_dataset(raw).events.num_events == 3


def test_no_reviewers_name_gets_through(tmp_path):
    raw = read_2018(tmp_path / "a", [early("A1", "B1"), early("A2", "B1")], [product("B1")])
    write_lines(tmp_path / "b" / "reviews_Toys_5.json.gz", [early("A1", "B1"), early("A2", "B1")])
    for given_raw in (raw, read_amazon("amazon-2014/Toys", tmp_path / "b", STRICT)):
        assert NAME not in everything(given_raw)
        assert "Featherstone" not in everything(given_raw)


def test_metadata_of_2014_is_python_and_never_run(tmp_path):
    items = [
        "{'asin': 'B1', 'title': 'Pedal \"Big\"', 'price': 9.5, 'categories': [['Music', 'Pedals'],"
        " ['Music', 'Effects', 'Loud']], 'related': {'also_bought': ['B9']}}",
        "{'asin': 'B2', 'categories': [['Music', \"Children's\"], ['Sale', 'Cheap']]}",
        "{'asin': 'B3', 'title': 'It\\'s', 'categories': [['Music']], 'price': None}",
        "{'asin': 'B9', 'title': 'never reviewed', 'categories': [['Music', 'Other']]}",
        "__import__('os').mkdir('ran')",
    ]
    write_lines(tmp_path / "meta_Music.json.gz", items)
    write_lines(tmp_path / "reviews_Music_5.json.gz", [early("A1", f"B{n}") for n in (1, 2, 3)])
    with pytest.raises(UserError, match=r"meta_Music\.json\.gz: .*line 5: is no record"):
        read_amazon("amazon-2014/Music", tmp_path, STRICT)
    raw = read_amazon("amazon-2014/Music", tmp_path, PrepareSettings(broken=0.5))
    assert not Path("ran").exists()
    assert by_item(raw, "text") == {"B1": 'Pedal "Big"', "B2": None, "B3": "It's"}
    assert by_item(raw, "categories") == {
        "B1": ["Pedals", "Effects"],
        "B2": ["Children's"],  # a path that begins elsewhere is of another department
        "B3": None,
    }
    assert by_item(raw, "price") == {"B1": 9.5, "B2": None, "B3": None}
    assert raw.counts["broken lines"] == 1
    assert raw.counts["rows of items without reviews"] == 1
    assert "never reviewed" not in everything(raw)


def test_titles_of_2018_that_are_debris(tmp_path):
    reviews = [early("A1", f"B{n}") for n in range(6)]
    items = [
        product("B0", title=DEBRIS),
        product("B1", title='<span id="productTitle">A Name</span>'),
        product("B2", title="word " * 500),
        product("B3", title="  Rock &amp; Roll\n"),
        product("B4", title=...),
        product("B5", title=""),
    ]
    raw = read_2018(tmp_path, reviews, items)
    assert by_item(raw, "text") == {
        "B0": None, "B1": None, "B2": None, "B3": "Rock & Roll", "B4": None, "B5": None,
    }  # fmt: skip
    assert raw.counts["titles that are debris"] == 3
    assert raw.catalog["text"].null_count() == 5
    assert as_dataset(raw).catalog.texts[4] == "Rock & Roll"


def test_repeated_rows_of_metadata_complete_each_other(tmp_path):
    items = [
        product("B1", title=DEBRIS, category=[], price=""),
        product("B1", title="Good", category=["Toys", "Games"], price="$3.00"),
        product("B1", title="Later", category=["Toys", "Other"]),
        product("B2"),
    ]
    raw = read_2018(tmp_path, [early("A1", "B1"), early("A1", "B2")], items)
    assert by_item(raw, "text") == {"B1": "Good", "B2": "Thing B2"}
    assert by_item(raw, "categories") == {"B1": ["Games"], "B2": ["Games"]}
    assert raw.counts["repeated rows of items"] == 2


@pytest.mark.parametrize(
    ("price", "value"),
    [
        ("$25.00", 25.0),
        ("$1,299.00", 1299.0),
        ("$10.00 - $20.00", 10.0),
        ("from 7.99", 7.99),
        (" 12 ", 12.0),
        (9.5, 9.5),
        (3, 3.0),
        ("", None),
        (None, None),
        ("—", None),
        ("None", None),
        (".a-box-inner{background-color:#fff}#x{font-size:11px}", None),
        ('\n\n   <div class="a-section a-spacing-none"', None),
    ],
)
def test_prices(tmp_path, price, value):
    items = [product("B1", price=price), product("B2", price="$1.00")]
    raw = read_2018(tmp_path, [early("A1", "B1"), early("A1", "B2")], items)
    assert by_item(raw, "price") == {"B1": value, "B2": 1.0}
    assert next(f for f in raw.features if f.name == "price").edges == (5, 10, 20, 50, 100, 200)
    assert as_dataset(raw).catalog.columns["price"][2] == 1


def test_without_any_price_there_is_no_such_feature(tmp_path):
    raw = read_2018(tmp_path, [early("A1", "B1")], [product("B1", price=...)])
    assert "price" not in raw.catalog.columns
    assert [f.name for f in raw.features] == ["rating", "categories"]


def test_categories_of_the_level_that_tells_items_apart(tmp_path):
    paths = {
        "B1": ["Toys &amp; Games", "Puzzles", "Wood"],
        "B2": ["Toys &amp; Games", "Dolls"],
        "B3": ["Toys &amp; Games", "</span></span></span>", "A sentence."],
        "B4": ["Toys &amp; Games", "No expiration. " * 10],
        "B5": [],
        "B6": ...,
        "B7": None,
    }
    items = [product(item, category=path) for item, path in paths.items()]
    raw = read_2018(tmp_path, [early("A1", item) for item in paths], items)
    assert by_item(raw, "categories") == {
        "B1": ["Puzzles"],
        "B2": ["Dolls"],
        **dict.fromkeys(["B3", "B4", "B5", "B6", "B7"]),
    }
    assert raw.label_feature == "categories"
    assert raw.counts["items without category"] == 5


def test_categories_stay_wide_where_they_differ(tmp_path):
    items = [product("B1", category=["Toys", "Puzzles"]), product("B2", category=["Music", "CDs"])]
    raw = read_2018(tmp_path, [early("A1", "B1"), early("A1", "B2")], items)
    assert by_item(raw, "categories") == {"B1": ["Toys"], "B2": ["Music"]}


def test_a_catalogue_with_departments_alone(tmp_path):
    items = [product("B1", category=[]), product("B2", category=[], main_cat="Baby <img src='x'>")]
    raw = read_2018(tmp_path, [early("A1", "B1"), early("A1", "B2")], items)
    assert by_item(raw, "categories") == {"B1": ["Toys"], "B2": ["Baby"]}


def test_at_most_so_many_categories(tmp_path):
    numbers = [n for n in range(LABELS + 5) for _ in range(2 if n < LABELS else 1)]
    items = [product(f"B{i:03}", category=["T", f"K{n:02}"]) for i, n in enumerate(numbers)]
    raw = read_2018(tmp_path, [early("A1", item["asin"]) for item in items], items)
    feature = next(f for f in raw.features if f.name == "categories")
    assert feature.kind is FeatureKind.MULTI
    assert feature.labels == tuple(f"K{n:02}" for n in range(LABELS))
    assert raw.catalog["categories"].null_count() == 5


def test_keys_that_are_absent_and_values_of_other_types(tmp_path):
    rows = [
        early("A1", "B1", reviewText=..., summary=..., overall=...),
        early("A1", "B2", reviewText=None, overall="4.0", unixReviewTime="1393545600"),
        early("A1", "B3", overall=7.0, style={"Size:": " 7 oz"}, vote="25", image=["x"]),
        early(" A2 ", 1384719342),
    ]
    raw = read_2018(tmp_path, rows)
    assert raw.events["rating"].to_list() == [None, "4", None, "5"]
    assert raw.events["timestamp"].to_list() == [1393545600] * 4
    assert raw.events.row(3)[:2] == ("A2", "1384719342")
    assert raw.counts["ratings that are none of 1 to 5"] == 2
    assert raw.counts["reviews without text"] == 2


def test_the_same_review_twice_counts_once(tmp_path):
    again = early("A1", "B1")
    rows = [again, early("A2", "B1"), again, early("A1", "B1", time=1393545601), again]
    raw = read_2018(tmp_path, rows)
    assert raw.counts["exact duplicates"] == 2
    assert raw.events.select("user", "timestamp").rows() == [
        ("A1", 1393545600), ("A2", 1393545600), ("A1", 1393545601),
    ]  # fmt: skip
    assert as_dataset(raw).has_repeats


def test_reviews_of_2023(tmp_path):
    rows = [
        late("U1", "P1"),
        late("U1", "P2", parent_asin=...),
        late("U2", "P1", timestamp=..., sort_timestamp=1588687728923, title="", text=""),
    ]
    items = [
        {"parent_asin": "P1", "title": "A", "price": "from 9.99", "main_category": "Toys",
         "categories": ["Toys", "Games"], "average_rating": 4.9, "store": "S"},
        {"parent_asin": "P1", "title": "A", "price": None, "categories": []},
    ]  # fmt: skip
    write_lines(tmp_path / "Toys.jsonl.gz", rows)
    write_lines(tmp_path / "meta_Toys.jsonl.gz", items)
    raw = read_amazon("amazon-2023/Toys", tmp_path, STRICT)
    assert raw.events.rows() == [
        ("U1", "P1", 1588687728, "4", "Good stuff", "Nice & small"),
        ("U1", "P2-red", 1588687728, "4", "Good stuff", "Nice & small"),
        ("U2", "P1", 1588687728, "4", None, None),
    ]
    assert raw.catalog.rows() == [("P1", "A", ["Games"], 9.99), ("P2-red", None, None, None)]
    assert raw.counts["items without metadata"] == 1


@pytest.mark.parametrize("where", ["file", "plain", "zip", "upper", "deep", "all"])
def test_wherever_the_files_lie(tmp_path, where):
    rows = [early("A1", "B1"), early("A2", "B1")]
    if where in ("file", "plain"):
        packed = where == "file"
        source = write_lines(
            tmp_path / f"Toys_5.json{'.gz' if packed else ''}", rows, packed=packed
        )
    elif where == "zip":
        source = tmp_path / "amazon.zip"
        inner = write_lines(tmp_path / "inner" / "Toys_5.json.gz", rows)
        meta = write_lines(tmp_path / "inner" / "meta_Toys.json.gz", [product("B1")])
        with zipfile.ZipFile(source, "w") as archive:
            archive.write(inner, "amazon/Toys_5.json.gz")
            archive.write(meta, "amazon/meta_Toys.json.gz")
    else:
        source = tmp_path
        name = {"upper": "TOYS_5.JSON.GZ", "deep": "a/b/Toys_5.json.gz", "all": "Toys.json.gz"}
        write_lines(tmp_path / name[where], rows)
        write_lines(tmp_path / "meta_Toys.json", [product("B1")], packed=False)
    raw = read_amazon("amazon-2018/Toys", source, STRICT)
    assert len(raw.events) == 2
    titled = where not in ("file", "plain")
    assert by_item(raw, "text") == {"B1": "Thing B1" if titled else None}
    assert all(str(tmp_path) not in note for note in raw.notes)


def test_the_core_is_preferred_and_named(tmp_path):
    write_lines(tmp_path / "Toys.json.gz", [early("A1", "B1"), early("A9", "B9")])
    raw = read_2018(tmp_path, [early("A1", "B1")])
    assert len(raw.events) == 1
    assert "the reviews are those of Toys_5.json.gz" in raw.notes


def test_broken_lines_are_counted_and_named_up_to_a_share(tmp_path, caplog):
    rows: list[object] = [early(f"A{n}", "B1") for n in range(20)]
    rows[4] = '{"reviewerID": "A1", "asin":'
    rows[9] = early("A1", ...)
    rows[14] = early("A1", "B1", time=...)
    rows[15] = early("A1", "B1", time="yesterday")
    rows[16] = early("A1", "B1", time=1393545600000)  # milliseconds
    with pytest.raises(UserError, match=r"Toys_5\.json\.gz: 5 of 20 lines .*line 5"):
        read_2018(tmp_path, rows)
    with caplog.at_level(logging.WARNING):
        raw = read_2018(tmp_path, rows, settings=PrepareSettings(broken=0.3))
    assert raw.counts["broken lines"] == 5
    assert len(raw.events) == 15
    assert "line 10" in caplog.text


@pytest.mark.parametrize(
    ("name", "file", "rows", "message"),
    [
        ("amazon-2018/Toys", "All_Beauty_5.json.gz", [early("A1", "B1")], "Toys_5.json"),
        ("amazon-2018/Toys", "Toys_5.json.gz", [late("U1", "P1")], "'reviewerID'"),
        ("amazon-2018/Toys", "Toys_5.json.gz", [product("B1")], "'reviewerID'"),
        ("amazon-2018/Toys", "Toys_5.json.gz", [early("A1", "B1", overall=...)], "rating"),
        ("amazon-2018/Toys", "Toys_5.json.gz", [], "empty"),
        ("amazon-2018/Toys", "Toys_5.json.gz", ["userId,movieId,rating", "1,2,3"], "line 1"),
        ("amazon-2023/Toys", "Toys.jsonl.gz", [late("U1", "P1", timestamp=1588687)], None),
        ("amazon-2023/Toys", "Toys.jsonl.gz", [late("U1", "P1", timestamp=-5)], "1970 to 2099"),
    ],
)
def test_files_of_something_else(tmp_path, name, file, rows, message):
    write_lines(tmp_path / file, rows)
    if message is None:
        read_amazon(name, tmp_path, STRICT)
        return
    with pytest.raises(UserError, match=message) as caught:
        read_amazon(name, tmp_path, STRICT)
    assert "\n" not in str(caught.value)


def test_a_truncated_archive(tmp_path):
    path = write_lines(tmp_path / "Toys_5.json.gz", [early(f"A{n}", "B1") for n in range(99)])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="truncated"):
        read_amazon("amazon-2018/Toys", tmp_path, STRICT)
