import gzip
import json
from datetime import date, datetime, timezone
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data.raw import PrepareSettings
from benchmark.data.readers.own import OwnSettings, read_own
from benchmark.data.readers.own_columns import read_columns
from benchmark.data.store.sources import files_read
from benchmark.errors import UserError
from benchmark.schema import FeatureKind
from tests.publishers import as_dataset

STRICT = OwnSettings(broken=0)
ROWS = [
    {"who": "u1", "what": "a", "when": 100, "called": "Alpha", "said": "good, \"very\"", "stars": 5,
     "kinds": "x|y", "cost": 1.5, "via": "web"},
    {"who": "u2", "what": "b", "when": 50, "called": "Beta", "said": None, "stars": 4,
     "kinds": "y", "cost": None, "via": "shop"},
    {"who": "u1", "what": "b", "when": 90, "called": "Beta", "said": "two\nlines", "stars": 10,
     "kinds": "y", "cost": 70.0, "via": None},
    {"who": "u3", "what": "c", "when": 10, "called": None, "said": "", "stars": 4,
     "kinds": None, "cost": None, "via": "web"},
]  # fmt: skip
COLUMNS = {
    "user": "who",
    "item": "what",
    "timestamp": {"column": "when", "unit": "s"},
    "title": "called",
    "text": "said",
    "features": {"stars": "category", "via": {"kind": "category", "name": "channel"}},
    "item_features": {"kinds": "multi", "cost": {"kind": "number", "edges": [1, 10, 100]}},
    "label": "kinds",
}


def write(folder: Path, kind: str, rows=ROWS, columns=COLUMNS) -> Path:
    """Interactions in one of the formats, and `columns.yaml` beside them."""
    folder.mkdir(exist_ok=True)
    if columns is not None:
        text = columns if isinstance(columns, str) else yaml.safe_dump(columns, sort_keys=False)
        (folder / "columns.yaml").write_text(text)
    frame = pl.DataFrame(rows, infer_schema_length=None)
    plain = {
        "csv": lambda: frame.write_csv().encode(),
        "tsv": lambda: frame.write_csv(separator="\t").encode(),
        "jsonl": lambda: "".join(json.dumps(row) + "\n" for row in rows).encode(),
    }
    path = folder / f"interactions.{kind}"
    if kind == "parquet":
        frame.write_parquet(path)
    elif kind.endswith(".gz"):
        path.write_bytes(gzip.compress(plain[kind.removesuffix(".gz")]()))
    else:
        path.write_bytes(plain[kind]())
    return path


def read(folder: Path, rows=ROWS, columns=COLUMNS, kind="csv", settings=STRICT):
    return read_own("own/shop", write(folder, kind, rows, columns), settings)


KINDS = ["csv", "tsv", "jsonl", "parquet", "csv.gz", "jsonl.gz"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same(tmp_path, kind):
    raw = read(tmp_path, kind=kind)
    assert raw.events.rows() == [
        ("u1", "a", 100, 'good, "very"', "5", "web"),
        ("u2", "b", 50, None, "4", "shop"),
        ("u1", "b", 90, "two lines", "10", None),
        ("u3", "c", 10, None, "4", "web"),
    ]
    assert raw.events.columns == ["user", "item", "timestamp", "text", "stars", "channel"]
    assert raw.catalog.columns == ["item", "text", "kinds", "cost"]
    assert raw.catalog.rows() == [
        ("a", "Alpha", ["x", "y"], 1.5),
        ("b", "Beta", ["y"], 70.0),
        ("c", None, None, None),
    ]
    stars, channel, kinds, cost = raw.features
    assert stars.labels == ("4", "5", "10")
    assert channel.labels == ("shop", "web")
    assert (kinds.kind, kinds.labels, kinds.width, kinds.of_item) == (
        FeatureKind.MULTI, ("x", "y"), 2, True,
    )  # fmt: skip
    assert cost.edges == (1, 10, 100)
    assert raw.label_feature == "kinds"
    assert raw.counts == {}
    assert raw.catalog["text"].null_count() == 1
    data = as_dataset(raw)
    assert data.events.num_users == 3
    assert list(data.events.timestamps[:2]) == [90, 100]


def test_a_folder_and_a_mapping_elsewhere(tmp_path):
    path = write(tmp_path / "data", "csv")
    assert len(read_own("own/shop", path.parent, STRICT).events) == 4
    moved = (path.parent / "columns.yaml").rename(tmp_path / "mine.yml")
    with pytest.raises(UserError, match=r"columns\.yaml is not there"):
        read_own("own/shop", path, STRICT)
    with pytest.raises(UserError, match=r"columns\.yaml is not there"):
        read_own("own/shop", path, PrepareSettings())
    assert len(read_own("own/shop", path, OwnSettings(columns=moved)).events) == 4
    (path.parent / "more.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"interactions\.csv, more\.csv: name the file itself"):
        read_own("own/shop", path.parent, OwnSettings(columns=moved))


def test_a_change_of_the_mapping_counts_as_a_change_of_the_data(tmp_path):
    path = write(tmp_path, "parquet")
    with files_read() as read_files:
        read_own("own/shop", path, STRICT)
    assert read_files == {path, tmp_path / "columns.yaml"}


def test_the_least_that_is_needed(tmp_path):
    raw = read(tmp_path, columns={"user": "who", "item": "what"})
    assert raw.events["timestamp"].to_list() == [0] * 4
    assert raw.catalog.rows() == [("a", None), ("b", None), ("c", None)]
    assert raw.features == ()
    assert any("no timestamps" in note for note in raw.notes)
    data = as_dataset(raw)
    # Without times a user's events stay in the order of the file.
    items = [data.catalog.items.to_external(item) for item in data.events.items]
    assert items == ["a", "b", "b", "c"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_rows_that_are_the_same(tmp_path, kind):
    rows = [ROWS[0], ROWS[1], ROWS[0]]
    raw = read(tmp_path, rows, kind=kind)
    assert (len(raw.events), raw.counts["exact duplicates"]) == (2, 1)
    kept = read(tmp_path, rows, {**COLUMNS, "duplicates": "keep"}, kind=kind)
    assert (len(kept.events), as_dataset(kept).has_repeats) == (3, True)
    untimed = read(tmp_path, rows, {"user": "who", "item": "what"}, kind=kind)
    assert len(untimed.events) == 3


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({**COLUMNS, "usr": "who"}, r"'columns\.yaml\.usr': did you mean 'columns\.yaml\.user'"),
        ({"item": "what"}, r"columns\.yaml\.user: field required"),
        ({**COLUMNS, "user": "whom"}, r"'whom'"),
        ({**COLUMNS, "features": {"starz": "category"}}, r"'starz'"),
        ({**COLUMNS, "features": {"stars": "kategory"}}, r"features\.stars\.kind: should be"),
        ({**COLUMNS, "features": {"stars": {"kind": "category", "edgs": [1]}}}, "edgs"),
        ({**COLUMNS, "features": {"stars": {"kind": "category", "edges": [1]}}}, "has no edges"),
        ({**COLUMNS, "features": {"stars": {"kind": "number", "edges": [2, 1]}}}, "ascend"),
        ({**COLUMNS, "features": {"stars": {"kind": "category", "name": "item"}}}, "called 'item'"),
        ({**COLUMNS, "features": {"kinds": "multi"}}, "two features are called 'kinds'"),
        ({**COLUMNS, "label": "cost"}, r"label must be one of .*: kinds"),
        ({**COLUMNS, "timestamp": {"column": "when", "unit": "days"}}, r"timestamp\.unit"),
        ({**COLUMNS, "item": "who"}, "must be different columns"),
        ({**COLUMNS, "encoding": "klingon"}, "klingon"),
        ({**COLUMNS, "separator": ";"}, "who"),
        ("user: [", "not valid YAML"),
        ("just text", "write one `key: column` a line"),
        ("", "write one `key: column` a line"),
        ("user: a\nuser: b\nitem: c", "stands twice"),
        (None, "is not there"),
    ],
)
def test_a_mapping_that_does_not_fit_is_one_clear_line(tmp_path, columns, message):
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, columns=columns)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_that_the_file_lacks(tmp_path, kind):
    columns = {**COLUMNS, "title": "caled"}
    with pytest.raises(UserError, match=r"caled") as caught:
        read(tmp_path, columns=columns, kind=kind)
    assert "\n" not in str(caught.value)
    assert "mapped to 'title'" in str(caught.value)
    assert "did you mean 'called'" in str(caught.value)


def test_parquet_dates_and_types(tmp_path):
    moment = datetime(2021, 3, 4, 5, 6, 7, tzinfo=timezone.utc)
    frame = pl.DataFrame(
        {
            "who": pl.Series([1, 2], dtype=pl.UInt8),
            "what": pl.Series(["a", "b"], dtype=pl.Categorical),
            "when": pl.Series([moment, moment]).dt.convert_time_zone("Asia/Tokyo"),
            "day": [date(2021, 3, 4)] * 2,
            "kinds": [["x|y", "z"], None],
            "pair": pl.Series([["x", "y"], ["z", "x"]], dtype=pl.Array(pl.String, 2)),
            "new": [True, False],
        }
    )
    path = tmp_path / "t.parquet"
    frame.write_parquet(path)
    mapping = tmp_path / "columns.yaml"
    base = {"user": "who", "item": "what", "timestamp": "when"}
    mapping.write_text(
        yaml.safe_dump(
            {
                **base,
                "features": {"new": "category"},
                "item_features": {"kinds": "multi", "pair": "multi"},
            }
        )
    )
    raw = read_own("own/t", path, STRICT)
    assert raw.events.rows() == [("1", "a", 1614834367, "true"), ("2", "b", 1614834367, "false")]
    assert raw.catalog["pair"].to_list() == [["x", "y"], ["z", "x"]]
    assert raw.catalog["kinds"].to_list() == [["x|y", "z"], None]
    mapping.write_text(yaml.safe_dump({**base, "timestamp": {"column": "day", "unit": "s"}}))
    assert read_own("own/t", path, STRICT).events["timestamp"].to_list() == [1614816000] * 2
    mapping.write_text(yaml.safe_dump({**base, "title": "kinds"}))
    with pytest.raises(UserError, match=r"'kinds' \(title\) holds List"):
        read_own("own/t", path, STRICT)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_broken_rows_are_counted_up_to_a_share(tmp_path, kind):
    good = [{"who": f"u{n}", "what": "a", "when": "2021-03-04"} for n in range(7)]
    bad = [
        {"who": None, "what": "a", "when": "2021-03-04"},
        {"who": "u1", "what": "", "when": "2021-03-04"},
        {"who": "u1", "what": "a", "when": "soon"},
    ]
    columns = {"user": "who", "item": "what", "timestamp": "when"}
    with pytest.raises(UserError, match=rf"interactions\.{kind}: 3 of 10 lines are broken"):
        read(tmp_path, good + bad, columns, kind, OwnSettings(broken=0.29))
    raw = read(tmp_path, good + bad, columns, kind, OwnSettings(broken=0.3))
    assert raw.counts["broken lines"] == 3
    assert len(raw.events) == 7


def test_ratings_as_text_and_values_beyond_the_most_frequent(tmp_path):
    rows = [
        {"who": "u", "what": f"i{n}", "stars": stars, "zip": code}
        for n, (stars, code) in enumerate(
            [("4.0", "007"), ("5", "007"), ("4", "1"), ("nan", "1"), (" 3.5 ", "2"), ("", "")]
        )
    ]
    features = {"stars": "category", "zip": {"kind": "category", "most": 2}}
    raw = read(tmp_path, rows, {"user": "who", "item": "what", "features": features})
    stars, code = raw.features
    assert stars.labels == ("3.5", "4", "5")
    assert raw.events["stars"].to_list() == ["4", "5", "4", None, "3.5", None]
    assert set(code.labels) == {"007", "1"}
    assert raw.counts["values of 'zip' left out"] == 1
    as_dataset(raw)


def test_numbers_that_are_none_and_default_edges(tmp_path):
    rows = [
        {"who": "u", "what": f"i{n}", "cost": cost}
        for n, cost in enumerate(["1.5", "x", "", "9e9"])
    ]
    raw = read(tmp_path, rows, {"user": "who", "item": "what", "features": {"cost": "number"}})
    assert raw.events["cost"].to_list() == [1.5, None, None, 9e9]
    assert raw.counts["values of 'cost' left out"] == 1
    assert raw.features[0].edges[:4] == (0, 1, 2, 5)
    assert as_dataset(raw).events.columns["cost"].tolist() == [3, 0, 0, 21]


@pytest.mark.parametrize("kind", ["category", "multi", "number"])
def test_a_feature_without_any_value(tmp_path, kind):
    rows = [{"who": "u", "what": "a", "empty": ""}]
    with pytest.raises(UserError, match=r"column 'empty' \(feature 'empty'\) has no"):
        read(tmp_path, rows, {"user": "who", "item": "what", "features": {"empty": kind}})


def test_several_titles_of_one_item(tmp_path):
    rows = [{"who": "u", "what": "a", "called": called} for called in ("", "First", "Second")]
    raw = read(tmp_path, rows, {"user": "who", "item": "what", "title": "called"})
    assert raw.catalog.rows() == [("a", "First")]
    assert raw.counts == {"items with several titles, the first kept": 1}


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("nothing", ["NaN", "nan", "None", "null", "<NA>", " NaN "])
def test_what_tables_write_for_a_missing_text_is_none(tmp_path, nothing, kind):
    last = {"who": "u", "what": "a", "called": "Nancy", "said": "None of it", "head": "Null and so",
            "kinds": "x", "mood": "dark"}  # fmt: skip
    first = {**dict.fromkeys(last, nothing), "who": "u", "what": "a"}
    rows = [first, last, {**first, "what": "b", "kinds": f"y|{nothing}"}]
    columns = {"user": "who", "item": "what", "title": "called", "text": "said", "summary": "head",
               "item_features": {"kinds": "multi", "mood": "category"}}  # fmt: skip
    raw = read(tmp_path, rows, columns, kind)
    assert raw.catalog.rows() == [("a", "Nancy", ["x"], "dark"), ("b", None, ["y"], None)]
    assert raw.events["text"].to_list() == [None, "None of it", None]
    assert raw.events["summary"].to_list() == [None, "Null and so", None]
    assert raw.counts == {}
    assert as_dataset(raw).catalog.texts == ("", "Nancy", "b")


def test_other_separators_between_values(tmp_path):
    rows = [{"who": "u", "what": "a", "kinds": "x, y ,,x"}, {"who": "u", "what": "b", "kinds": " "}]
    features = {"kinds": {"kind": "multi", "separator": ","}}
    for kind in ("csv", "jsonl"):
        raw = read(tmp_path, rows, {"user": "who", "item": "what", "item_features": features}, kind)
        assert raw.catalog["kinds"].to_list() == [["x", "y"], None]


def test_lists_in_json_lines(tmp_path):
    rows = [{"who": 1, "what": "a", "kinds": ["x", 2, None]}, {"who": 1, "what": "b", "kinds": []}]
    path = tmp_path / "i.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "columns.yaml").write_text("user: who\nitem: what\nitem_features: {kinds: multi}")
    raw = read_own("own/t", path, STRICT)
    assert raw.catalog["kinds"].to_list() == [["x", "2"], None]


def test_headers_with_blanks_capitals_quotes_and_separators(tmp_path):
    path = tmp_path / "i.csv"
    path.write_text('"Customer No","a, b",what\nu,1,x\n')
    (tmp_path / "columns.yaml").write_text("user: customer no\nitem: what\n")
    assert read_own("own/t", path, STRICT).events.rows() == [("u", "x", 0)]


def test_encodings_and_byte_order_marks(tmp_path):
    (tmp_path / "columns.yaml").write_text(
        "user: who\nitem: what\nencoding: latin-1\ntitle: called"
    )
    path = tmp_path / "i.csv"
    path.write_bytes("who;what;called\nu;a;Café\n".replace(";", ",").encode("latin-1"))
    assert read_own("own/t", path, STRICT).catalog.rows() == [("a", "Café")]
    (tmp_path / "columns.yaml").write_text("user: who\nitem: what\ntitle: called\nseparator: ';'")
    path.write_bytes("\ufeffwho;what;called\r\nu;a;Café\r\n".encode())
    assert read_own("own/t", path, STRICT).catalog.rows() == [("a", "Café")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("i.csv", b"", "empty"),
        ("i.csv", b"who,what\n", "empty"),
        ("i.csv", b"u,a\nu,b\n", "who"),
        ("i.xlsx", b"PK\x03\x04", "zip"),
        ("i.txt", b"who,what\nu,a\n", "csv"),
        ("i.parquet", b"PAR1 and nothing else", "Parquet"),
        ("i.parquet", b"who,what\nu,a\n", "Parquet"),
        ("i.jsonl", b"who,what\nu,a\n", "line 1"),
        ("i.csv.gz", b"\x1f\x8b\x08\x00", "truncated"),
    ],
)
def test_files_that_are_something_else(tmp_path, name, content, message):
    (tmp_path / "columns.yaml").write_text("user: who\nitem: what\n")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_own("own/t", path, STRICT)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    (tmp_path / "columns.yaml").write_text("user: who\nitem: what\n")
    with pytest.raises(UserError, match="is not there"):
        read_own("own/t", tmp_path / "none.csv", STRICT)
    with pytest.raises(UserError, match="one file of interactions"):
        read_own("own/t", tmp_path, STRICT)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=80))
@settings(max_examples=100, deadline=None)
def test_any_columns_file_is_a_mapping_or_an_error_of_ours(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("own") / "columns.yaml"
    path.write_text(text, encoding="utf-8")
    columns, message = None, ""
    try:
        columns = read_columns(path)
    except UserError as error:
        message = str(error)
    if columns is None:
        assert "columns.yaml" in message
        assert "\n" not in message
    else:
        assert columns.user
        assert columns.item


@pytest.mark.parametrize("quirks", [False, True])
def test_the_layout_of_the_synthetic_world(tmp_path, quirks):
    from benchmark.data.made_up.layouts import write_layout
    from benchmark.data.made_up.synthetic import SyntheticSettings

    source = write_layout("own", tmp_path, SyntheticSettings(users=20, items=40), quirks=quirks)
    data = as_dataset(read_own("own/world", source, STRICT))
    assert data.events.num_users == 20
    assert data.label_feature == "kinds"
    assert data.events.schema.given.names == ("item", "stars", "year", "kinds")
