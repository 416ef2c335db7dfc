import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import UserError
from benchmark.schema import ITEM, Feature, FeatureKind, FeatureSchema, IdMap, number

ITEMS = Feature(ITEM, FeatureKind.ID, 7)
STARS = Feature("rating", FeatureKind.CATEGORY, 2, labels=("bad", "good"))
GENRES = Feature("genres", FeatureKind.MULTI, 3, of_item=True, width=2, labels=("a", "b", "c"))


def test_json_and_back():
    schema = FeatureSchema((ITEMS, STARS, GENRES))
    again = FeatureSchema.from_json(schema.to_json())
    assert again == schema
    assert again.fingerprint() == schema.fingerprint()
    assert schema.fingerprint() != FeatureSchema((ITEMS, STARS)).fingerprint()


def test_the_item_comes_first_and_stays():
    schema = FeatureSchema((ITEMS, STARS, GENRES))
    assert schema.subset(["genres"]).names == (ITEM, "genres")
    assert schema.num_items == 7
    with pytest.raises(UserError, match="unknown feature 'year'"):
        schema.subset(["year"])
    with pytest.raises(ValueError, match="first feature"):
        FeatureSchema((STARS, ITEMS))
    with pytest.raises(ValueError, match="twice"):
        FeatureSchema((ITEMS, STARS, STARS))


@pytest.mark.parametrize(
    "fields",
    [
        {"cardinality": 0},
        {"cardinality": 2, "width": 0},
        {"cardinality": 2, "width": 2},
        {"cardinality": 2, "labels": ("one",)},
    ],
)
def test_a_feature_that_cannot_be(fields):
    with pytest.raises(ValueError, match="'x'"):
        Feature("x", FeatureKind.CATEGORY, **fields)


def test_ids_start_at_one():
    ids = IdMap(["b", "a"])
    assert [ids.to_internal(name) for name in ids.external_ids] == [1, 2]
    assert ids.to_external(2) == "a"
    for outside in (0, -1, 3):
        with pytest.raises(KeyError):
            ids.to_external(outside)
    with pytest.raises(ValueError, match="twice"):
        IdMap(["a", "a"])


PRICE = number("price", (0.0, 1.5, 10.0), derived=True)


def test_a_number_is_known_by_its_bucket():
    values = np.array([-np.inf, -1.0, 0.0, 1.4, 1.5, 9.9, 10.0, np.inf, np.nan])
    assert PRICE.bucket(values).tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 0]
    assert PRICE.cardinality == 4


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20))
def test_buckets_keep_the_order_of_numbers(values):
    ascending = PRICE.bucket(np.sort(np.array(values)))
    assert (np.diff(ascending) >= 0).all()
    assert ascending.min() >= 1
    assert ascending.max() <= PRICE.cardinality


def test_numbers_and_derived_features_survive_json():
    schema = FeatureSchema((ITEMS, PRICE, GENRES))
    again = FeatureSchema.from_json(json.loads(json.dumps(schema.to_json())))
    assert again == schema
    assert again.given == FeatureSchema((ITEMS, GENRES))
    moved = number("price", (0.0, 1.5, 11.0), derived=True)
    assert FeatureSchema((ITEMS, moved, GENRES)).fingerprint() != schema.fingerprint()


@pytest.mark.parametrize(
    ("kind", "cardinality", "edges"),
    [
        (FeatureKind.NUMBER, 2, (1.0, 1.0)),
        (FeatureKind.NUMBER, 3, (2.0, 1.0)),
        (FeatureKind.NUMBER, 2, ()),
        (FeatureKind.NUMBER, 2, (float("nan"),)),
        (FeatureKind.NUMBER, 3, (1.0, float("inf"))),
        (FeatureKind.CATEGORY, 2, (1.0,)),
    ],
)
def test_edges_that_cannot_be(kind, cardinality, edges):
    with pytest.raises(ValueError, match="'x'"):
        Feature("x", kind, cardinality, edges=edges)
