"""Own rows: what is inferred, what is refused, and that a list and a batch are the same thing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark.errors import UserError
from benchmark.schema import Feature, FeatureKind, FeatureSchema
from benchmark.types import Catalog
from tests.userllm.own_rows import HISTORIES, ITEMS
from userllm.histories import (
    build_catalog,
    build_log,
    infer_schema,
    latest_events,
    read_batch,
    seen_items,
)


@pytest.fixture
def own() -> tuple[FeatureSchema, Catalog]:
    schema = infer_schema(ITEMS, HISTORIES, gap_edges_seconds=(60.0,))
    return schema, build_catalog(ITEMS, schema)


def test_the_schema_holds_what_the_rows_hold(own) -> None:
    schema, catalog = own
    assert schema.names == ("item", "genres", "year", "rating", "gap")
    assert schema["rating"].labels == ("4", "5", "10")  # by number, not by letter
    assert schema["genres"].kind is FeatureKind.MULTI
    assert schema["genres"].width == 2
    assert schema["year"].of_item
    assert schema["gap"].derived
    assert catalog.texts == ("", "Alien", "Aliens", "Heat", "Amélie", "Star Wars", "Star Trek")
    assert catalog.columns["year"].tolist()[-1] == 0  # a title alone: the rest is unknown


def test_values_come_from_the_event_the_catalogue_and_the_clock(own) -> None:
    schema, catalog = own
    batch = read_batch(HISTORIES, schema, catalog)
    assert batch.lengths.tolist() == [2, 3, 3, 1]
    labels = schema["rating"].labels
    assert [labels[i - 1] for i in batch.features["rating"][0, :2].tolist()] == ["5", "4"]
    assert batch.features["rating"][1].tolist() == [0, 0, 0]
    genres = schema["genres"].labels
    first = [genres[i - 1] for i in batch.features["genres"][0, 0].tolist()]
    assert first == ["Horror", "Sci-Fi"]
    assert batch.features["gap"].tolist() == [[0, 2, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_timestamps_order_events_stably(own) -> None:
    rows = [{"item": i, "timestamp": t} for i, t in (("m3", 5), ("m1", 1), ("m2", 1))]
    assert build_log([rows], *own).items.tolist() == [1, 2, 3]
    assert build_log([[*rows, "m4"]], *own).items.tolist() == [3, 1, 2, 4]


def test_ids_may_be_numbers() -> None:
    items, histories = {7: "Heat", 8: "Alien"}, [[8, 7], [{"item": 7, "rating": 5}]]
    schema = infer_schema(items, histories)
    assert schema.names == ("item", "rating")
    log = build_log(histories, schema, build_catalog(items, schema))
    assert log.items.tolist() == [2, 1, 1]


def test_rows_of_a_table_are_read_as_others() -> None:
    nan = float("nan")
    items = {"a": {"title": "Heat", "year": nan}, "b": {"title": "Alien", "year": 1979}}
    rows = [
        {"item": "a", "timestamp": np.int64(9), "rating": nan, "text": nan},
        {"item": "b", "timestamp": np.float64(2), "rating": 5, "text": "dark"},
    ]
    schema = infer_schema(items, [rows])
    assert [schema[name].labels for name in ("year", "rating")] == [("1979",), ("5",)]
    log = build_log([rows, [{"item": "a", "timestamp": nan}]], schema, build_catalog(items, schema))
    assert log.items.tolist() == [2, 1, 1]
    assert log.timestamps.tolist() == [2, 9, 0]
    assert log.columns["rating"].tolist() == [1, 0, 0]
    assert list(log.written["text"]) == ["dark", "", ""]


def test_a_whole_number_is_one_value_however_a_table_holds_it() -> None:
    fives = [5, 5.0, np.int64(5), np.float32(5), np.float64(5), "5"]
    rows = [{"item": "a", "rating": value} for value in (*fives, 4.5, True, np.float32("nan"))]
    rows.append({"item": "a", "rating": pd.NA, "timestamp": pd.NaT})
    items = {"a": {"title": "Heat", "tags": [7, 2.0]}, 8: {"title": "Alien", "tags": {7.0}}}
    schema = infer_schema(items, [rows])
    assert schema["rating"].labels == ("4.5", "5", "True")
    assert schema["tags"].labels == ("2", "7")
    catalog = build_catalog(items, schema)
    assert catalog.columns["tags"].tolist() == [[0, 0], [2, 1], [2, 0]]
    log = build_log([rows, [{"item": 8.0}]], schema, catalog)
    assert log.columns["rating"].tolist() == [2] * 6 + [1, 3, 0, 0] + [0]
    assert log.items.tolist()[-1] == 2


def test_values_are_found_in_a_schema_of_before() -> None:
    rating = Feature("rating", FeatureKind.CATEGORY, 2, labels=("4.5", "5.0"))
    schema = FeatureSchema((Feature("item", FeatureKind.ID, 2), rating))
    rows = [{"item": 1.0, "rating": value} for value in (5, 5.0, "5.0", np.int32(5), 4.5)]
    log = build_log([rows], schema)
    assert log.columns["rating"].tolist() == [2, 2, 2, 2, 1]
    with pytest.raises(UserError, match="'rating' '4'"):
        build_log([[{"item": 1, "rating": 4.0}]], schema)


def test_a_number_falls_into_its_bucket() -> None:
    price = Feature("price", FeatureKind.NUMBER, 3, edges=(1.0, 10.0))
    schema = FeatureSchema((Feature("item", FeatureKind.ID, 2), price))
    rows = [{"item": 1, "price": 0.5}, {"item": 2, "price": 10}, {"item": 2}]
    batch = read_batch([rows], schema)
    assert batch.features["price"].tolist() == [[1, 3, 0]]
    assert batch.features["item"].tolist() == [[1, 2, 2]]  # without a catalogue: indices
    with pytest.raises(UserError, match=r"price.*numbers"):
        read_batch([[{"item": 1, "price": "dear"}]], schema)


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        ([["m9"]], "unknown item 'm9'; did you mean 'm6'"),
        ([[{"item": "m1", "raiting": 5}]], "'raiting'; did you mean 'rating'"),
        ([[{"item": "m1", "rating": 6}]], "unknown value of 'rating' '6'.*valid: 4, 5, 10"),
        ([[{"rating": 5}]], "no 'item'"),
        ([[{"item": "m1", "timestamp": "today"}]], "number of seconds"),
        ([[{"item": "m1", "timestamp": float("inf")}]], "number of seconds"),
        ([[{"item": float("nan")}]], "no 'item'"),
        (["m1", "m2"], r"\[\[...\], ...\]"),
        ([{"item": "m1"}], r"\[\[...\], ...\]"),
        ([[["m1"]]], "'item' has one value"),
    ],
)
def test_what_cannot_be_read_is_named(own, histories, message) -> None:
    with pytest.raises(UserError, match=message):
        read_batch(histories, *own)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"a": {"genres": ["x"]}}, "'a' has no 'title'"),
        ({"a": {"title": float("nan")}}, "'a' has no 'title'"),
        ({"a": {"title": "A", "item": 1}}, "'item'"),
    ],
)
def test_items_that_cannot_be_said_are_named(items, message) -> None:
    with pytest.raises(UserError, match=message):
        build_catalog(items, infer_schema(items))


def test_a_feature_belongs_to_items_or_to_events() -> None:
    with pytest.raises(UserError, match="'year'"):
        infer_schema(ITEMS, [[{"item": "m1", "year": 1}]])


def test_only_the_latest_events_are_kept_and_all_are_seen(own) -> None:
    schema, catalog = own
    whole = read_batch([["m1", "m2", "m3", "m4"], ["m5"], []], schema, catalog)
    cut = latest_events(whole, 2)
    assert cut.features["item"].tolist() == [[3, 4], [5, 0], [0, 0]]
    assert cut.mask.tolist() == [[True, True], [True, False], [False, False]]
    assert cut.features["genres"].shape == (3, 2, 2)
    assert latest_events(whole, 9) is whole
    seen = seen_items(whole, 6)
    assert [row.nonzero().flatten().tolist() for row in seen] == [[1, 2, 3, 4], [5], []]


def test_a_log_gathers_what_a_batch_holds(own) -> None:
    log = build_log(HISTORIES, *own)
    gathered = log.gather(log.indptr[:-1], log.indptr[1:], 3)
    batch = read_batch(HISTORIES, *own)
    assert torch.equal(gathered.mask, batch.mask)
    for name in own[0].names:
        assert torch.equal(gathered.features[name], batch.features[name])
    assert read_batch(batch, *own) is batch
