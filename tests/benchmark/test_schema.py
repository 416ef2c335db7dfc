import pytest

from benchmark.errors import UserError
from benchmark.schema import ITEM, Feature, FeatureKind, FeatureSchema, IdMap

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
