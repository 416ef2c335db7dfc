from __future__ import annotations

from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data.raw import PrepareSettings, Raw
from benchmark.data.store.filters import apply_filters, core
from benchmark.errors import UserError
from benchmark.schema import Feature, FeatureKind
from benchmark.types import IDS, TITLES

STARS = Feature("rating", FeatureKind.CATEGORY, 10, labels=tuple(f"{n / 2}" for n in range(1, 11)))
NOTHING = PrepareSettings(minimum_history=1)


def raw(pairs: str, ratings=None, catalog=None) -> Raw:
    """Events written as `a1 a2 b1`: user and item."""
    rows = pairs.split()
    events = pl.DataFrame(
        {"user": [row[0] for row in rows], "item": [int(row[1:]) for row in rows]}
    ).with_columns(timestamp=pl.int_range(len(rows), dtype=pl.Int64))
    features = ()
    if ratings is not None:
        events, features = events.with_columns(rating=pl.Series(ratings)), (STARS,)
    if catalog is None:
        met = sorted(set(events["item"]))
        catalog = pl.DataFrame({"item": met, "text": [f"Item {n}" for n in met]})
    return Raw(events, catalog, features)


def left(frames) -> str:
    pairs = zip(frames.events["user"], frames.events["item"], strict=True)
    return " ".join(f"{user}{item}" for user, item in pairs)


def told(frames) -> dict[str, int]:
    return {reason: count for reason, count in frames.counts.items() if count}


def test_nothing_is_left_out_unless_asked():
    frames = apply_filters("x", raw("a1 b1 a2"), NOTHING)
    assert left(frames) == "a1 b1 a2"
    assert told(frames) == {}
    assert frames.text_source == TITLES


def test_users_with_a_short_history_go_and_their_items_stay():
    frames = apply_filters("x", raw("a1 b1 a2 a3 b9 c1"), PrepareSettings())
    assert left(frames) == "a1 a2 a3"
    assert told(frames) == {
        "events of users or items with too few events": 3,
        "users with too few events": 2,
    }
    assert frames.catalog["item"].to_list() == [1, 2, 3, 9]


def test_a_rating_counts_before_a_history():
    data = raw("a1 a2 a3 b1 b2 b3", ratings=[4.0, 3.5, 5.0, 4.0, None, 4.5])
    frames = apply_filters("x", data, PrepareSettings(minimum_rating=4, minimum_history=2))
    assert left(frames) == "a1 a3 b1 b3"
    assert told(frames) == {"events below the minimum rating": 1, "events without a rating": 1}
    frames = apply_filters("x", data, PrepareSettings(minimum_rating=4.5, minimum_history=1))
    assert left(frames) == "a3 b3"


def test_ratings_may_be_words():
    data = raw("a1 a2 a3", ratings=["10.0", "9.5", "2.0"])
    frames = apply_filters("x", data, PrepareSettings(minimum_rating=9.5, minimum_history=1))
    assert left(frames) == "a1 a2"


def test_a_core_goes_on_until_none_is_too_short():
    # Item 3 is met once. Without it c has one event, without c item 2 has one, and so b.
    frames = apply_filters(
        "x", raw("a1 a4 b1 b2 d4 d1 c2 c3"), PrepareSettings(minimum_history=1, k_core=2)
    )
    assert left(frames) == "a1 a4 d4 d1"
    assert told(frames) == {
        "events of users or items with too few events": 4,
        "users with too few events": 2,
        "items with too few events": 2,
    }
    assert frames.catalog["item"].to_list() == [1, 4]


def test_a_core_and_a_history_hold_together():
    data = raw("a1 a2 a3 b1 b2 c1 c2 c3")
    frames = apply_filters("x", data, PrepareSettings(minimum_history=3, k_core=2))
    assert left(frames) == "a1 a2 a3 c1 c2 c3"


def test_a_core_of_one_leaves_out_items_that_nobody_met():
    catalog = pl.DataFrame({"item": [1, 2, 3], "text": ["A", "B", "C"]})
    data = raw("a1 b3", catalog=catalog)
    assert apply_filters("x", data, NOTHING).catalog["item"].to_list() == [1, 2, 3]
    few = PrepareSettings(minimum_history=1, k_core=1)
    assert apply_filters("x", data, few).catalog["item"].to_list() == [1, 3]


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        (
            raw("a1 a2 b1"),
            {"minimum_history": 3},
            "none of 3 events is left with minimum_history 3: lower --minimum-history$",
        ),
        (raw("a1 b2"), {"minimum_history": 1, "k_core": 2}, "minimum_history 1, k_core 2"),
        (raw("a1", [1.0]), {"minimum_rating": 2.0}, "none of 1 events .* minimum_rating 2"),
        (raw("a1"), {"minimum_rating": 2.0}, "needs a feature 'rating'"),
        (raw("a1", ["good"]), {"minimum_rating": 2.0}, "ratings that are numbers"),
        (Raw(raw("a1").events.clear(), raw("a1").catalog, ()), {}, "no events in the files"),
    ],
)
def test_nothing_left_is_told_in_one_line(data, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        apply_filters("x", data, PrepareSettings(**changes))
    assert "data set 'x'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_items_that_the_catalogue_lacks_are_added():
    catalog = pl.DataFrame({"item": [1, 2], "text": ["One", "Two"], "year": ["1999", None]})
    frames = apply_filters("x", raw("a7 a2 b5 b7", catalog=catalog), NOTHING)
    assert frames.catalog.to_dict(as_series=False) == {
        "item": [1, 2, 7, 5],
        "text": ["One", "Two", "7", "5"],
        "year": ["1999", None, None, None],
    }
    assert told(frames) == {"items that the catalogue lacks": 2}
    assert frames.text_source == TITLES


def test_an_item_without_a_title_is_called_by_its_id():
    catalog = pl.DataFrame({"item": [1, 2, 3, 4], "text": [" One ", None, " \x1f\t", ""]})
    frames = apply_filters("x", raw("a1 a2", catalog=catalog), NOTHING)
    assert frames.catalog["text"].to_list() == ["One", "2", "3", "4"]
    assert told(frames) == {"items without a title": 3}
    assert frames.text_source == TITLES


@pytest.mark.parametrize("kind", [pl.Null, pl.String])
def test_a_catalogue_without_any_title_says_so(kind):
    catalog = pl.DataFrame({"item": [1, 2], "text": pl.Series([None, None], dtype=kind)})
    frames = apply_filters("x", raw("a1 a2 a3", catalog=catalog), NOTHING)
    assert frames.catalog["text"].to_list() == ["1", "2", "3"]
    assert frames.text_source == IDS
    assert told(frames) == {"items that the catalogue lacks": 1}


def test_ids_are_compared_as_what_they_say_where_types_differ():
    catalog = pl.DataFrame({"item": ["1", "x"], "text": ["One", "Two"]})
    frames = apply_filters("x", raw("a1 a2", catalog=catalog), NOTHING)
    assert frames.catalog["item"].to_list() == ["1", "x", "2"]
    assert frames.events["item"].to_list() == ["1", "2"]


def naive_core(pairs, of_user, of_item):
    """Takes out one user or item at a time, whichever comes first."""
    pairs = list(enumerate(pairs))
    while True:
        users, items = Counter(u for _, (u, _) in pairs), Counter(i for _, (_, i) in pairs)
        poor = [(0, u) for u, n in users.items() if n < of_user]
        poor += [(1, i) for i, n in items.items() if n < of_item]
        if not poor:
            return [place for place, _ in pairs]
        side, name = poor[0]
        pairs = [(place, pair) for place, pair in pairs if pair[side] != name]


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.integers(-3, 4), st.sampled_from("abcdef")), min_size=1, max_size=40),
    st.integers(0, 4),
    st.integers(0, 4),
)
def test_the_core_is_the_one_that_any_order_leads_to(pairs, of_user, of_item):
    users, items = (pl.Series(side) for side in zip(*pairs, strict=True))
    keep, told = core(users, items, of_user, of_item)
    expected = naive_core(pairs, of_user, of_item)
    assert keep.nonzero()[0].tolist() == expected
    stay = [pairs[place] for place in expected]
    out = told.get("events of users or items with too few events", 0)
    assert out == len(pairs) - len(expected)
    for side, (what, least) in enumerate((("users", of_user), ("items", of_item))):
        if least < 2:  # then there are none with too few
            continue
        gone = len({pair[side] for pair in pairs}) - len({pair[side] for pair in stay})
        assert told.get(f"{what} with too few events", 0) == gone
