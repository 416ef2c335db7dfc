import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmark.data.dataset import build_dataset
from benchmark.data.encoding import encode_feature
from benchmark.data.readers.movielens import load_ml_100k
from benchmark.errors import UserError
from benchmark.schema import Feature, FeatureKind

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
STARS = Feature("stars", FeatureKind.CATEGORY, 2, labels=("1", "2"))
TAGS = Feature("tags", FeatureKind.MULTI, 3, of_item=True, width=2, labels=("a", "b", "c"))
EVENTS = pl.DataFrame(
    {
        # File order: user "z" comes first; its three events of second 5 are out of item order.
        "user": ["z", "y", "z", "z", "z", "y"],
        "item": ["i3", "i1", "i2", "i1", "i4", "i2"],
        "timestamp": [5, 9, 5, 1, 5, 9],
        "stars": ["1", "2", "2", None, "1", "2"],
        "text": ["t0", "t1", None, "t3", "t4", "t5"],
    }
)
CATALOG = pl.DataFrame(
    {
        "item": ["i1", "i2", "i3", "i4", "i5"],
        "text": ["One", " Two ", "Three", "Two", "Five"],
        "tags": [["c", "a"], [], None, ["b"], ["a"]],
    }
)


def build(events=EVENTS, catalog=CATALOG, features=(STARS, TAGS)):
    return build_dataset("tiny", events, catalog, features, source="", licence="", citation="")


def test_sorted_by_time_and_ties_stay_in_file_order():
    data = build()
    assert list(data.users.external_ids) == ["z", "y"]
    assert data.events.indptr.tolist() == [0, 4, 6]
    assert data.events.timestamps.tolist() == [1, 5, 5, 5, 9, 9]
    assert data.events.items.tolist() == [1, 3, 2, 4, 1, 2]
    assert data.events.columns["stars"].tolist() == [0, 1, 2, 1, 2, 2]
    assert list(data.events.written["text"]) == ["t3", "t0", "", "t4", "t1", "t5"]


def test_tie_break_survives_many_ties():
    rng = np.random.default_rng(0)
    count = 5000
    user = rng.integers(0, 20, count)
    time = rng.integers(0, 3, count)
    events = pl.DataFrame(
        {"user": user, "item": [f"i{n}" for n in range(count)], "timestamp": time}
    )
    catalog = pl.DataFrame({"item": events["item"], "text": events["item"]})
    data = build(events, catalog, ())
    for row, external in enumerate(data.users.external_ids):
        mine = [n for n in range(count) if str(user[n]) == external]
        expected = sorted(mine, key=lambda n: time[n])  # Python's sort is stable
        log = data.events
        assert (log.items[log.indptr[row] : log.indptr[row + 1]] - 1).tolist() == expected


def test_items_are_numbered_in_catalogue_order():
    data = build()
    assert data.catalog.items.external_ids == ("i1", "i2", "i3", "i4", "i5")
    assert data.catalog.texts == ("", "One", "Two", "Three", "Two", "Five")
    assert data.catalog.columns["tags"].tolist() == [[0, 0], [3, 1], [0, 0], [0, 0], [2, 0], [1, 0]]
    assert data.facts["items"] == 5
    assert data.facts["items_with_events"] == 4
    assert data.facts["duplicate_texts"] == 1


def test_repeats_are_noticed():
    assert not build().has_repeats
    assert build(EVENTS.with_columns(item=pl.lit("i1"))).has_repeats


def test_the_fingerprint_notices_every_change():
    changes = [
        (EVENTS.with_columns(item=pl.Series(["i3", "i1", "i2", "i1", "i4", "i5"])), CATALOG),
        (EVENTS.with_columns(stars=pl.lit("1")), CATALOG),
        (EVENTS.with_columns(timestamp=pl.col("timestamp") + 1), CATALOG),
        (EVENTS.with_columns(text=pl.lit("x")), CATALOG),
        (EVENTS.drop("text"), CATALOG),
        (EVENTS.with_columns(user=pl.col("user") + "x"), CATALOG),
        (EVENTS, CATALOG.with_columns(text=pl.col("text") + "!")),
        (EVENTS, CATALOG.with_columns(tags=pl.Series([["a"]] * 5))),
        (EVENTS, CATALOG.vstack(pl.DataFrame({"item": ["i6"], "text": ["x"], "tags": [["a"]]}))),
    ]
    prints = [build(*change).fingerprint for change in changes]
    assert len({build().fingerprint, *prints}) == len(changes) + 1
    assert build().fingerprint == build(EVENTS.clone()).fingerprint


@pytest.mark.parametrize(
    ("events", "catalog", "message"),
    [
        (EVENTS.drop("timestamp"), CATALOG, "events lack the column 'timestamp'"),
        (EVENTS.drop("stars"), CATALOG, "events lack the column 'stars'"),
        (EVENTS, CATALOG.drop("text"), "catalogue lack the column 'text'"),
        (EVENTS.clear(), CATALOG, "no events"),
        (EVENTS.with_columns(user=pl.lit(None)), CATALOG, "6 missing values in column 'user'"),
        (EVENTS.with_columns(item=pl.lit("i9")), CATALOG, "unknown value 'i9' in column 'item'"),
        (EVENTS.with_columns(stars=pl.lit("7")), CATALOG, "unknown value '7' in column 'stars'"),
        (EVENTS.with_columns(timestamp=pl.lit(0.5)), CATALOG, "whole seconds"),
        (EVENTS, CATALOG.vstack(CATALOG[:1]), "'i1' stands twice"),
        (EVENTS, CATALOG.with_columns(text=pl.lit("  ")), "'i1' has no text"),
    ],
)
def test_bad_frames_are_told_in_one_line(events, catalog, message):
    with pytest.raises(UserError, match=message) as caught:
        build(events, catalog)
    assert "'tiny'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_values_than_declared():
    with pytest.raises(UserError, match="more than 2"):
        encode_feature("tiny", TAGS, pl.Series([["a", "b", "c"]]))


def test_a_dictionary_of_columns_is_emptied_and_says_the_same():
    columns = EVENTS.to_dict()
    data = build(columns)
    assert data.fingerprint == build().fingerprint
    assert columns == {}
    assert len(EVENTS.columns) == 5


@pytest.mark.parametrize("kind", [pl.Int8, pl.Int64, pl.UInt32, pl.String])
def test_whole_numbers_as_ids_are_what_they_say(kind):
    numbers = pl.col("item").str.slice(1).cast(kind)
    data = build(EVENTS.with_columns(numbers), CATALOG.with_columns(numbers))
    expected = build(
        EVENTS.with_columns(numbers.cast(pl.String)), CATALOG.with_columns(numbers.cast(pl.String))
    )
    assert data.fingerprint == expected.fingerprint
    assert list(data.catalog.items.external_ids) == ["1", "2", "3", "4", "5"]


def test_a_file_by_user_is_sorted_as_any_other_and_stays_as_it_was():
    by_user = EVENTS.drop("text").sort("user", descending=True, maintain_order=True)
    before = by_user.clone()
    data = build(by_user)
    assert data.fingerprint == build(EVENTS.drop("text")).fingerprint
    assert by_user.equals(before)
    assert before["timestamp"].to_list() == [5, 5, 1, 5, 9, 9]


def test_published_records_are_of_the_data_as_it_is_read_now():
    pytest.importorskip("recbole")
    records = [json.loads(path.read_text()) for path in sorted(REFERENCE.rglob("*.json"))]
    said = {
        record["dataset"]["fingerprint"]
        for record in records
        if isinstance(record.get("dataset"), dict) and record["dataset"]["name"] == "ml-100k"
    }
    assert said == {load_ml_100k().fingerprint}
