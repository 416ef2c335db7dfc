import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data.division import Split
from benchmark.data.made_up.synthetic import (
    MOODS,
    SyntheticSettings,
    load_synthetic,
    make_frames,
    make_world,
)
from benchmark.data.splits import split_last
from benchmark.schema import ITEM, TEXT, TIMESTAMP, USER
from benchmark.tasks.config import NextItemSettings
from benchmark.tasks.next_item import NextItem
from tests.world import FixedScores, TransitionCounts


def bulk(**changes):
    return SyntheticSettings(
        **{"bulk": True, "users": 80, "items": 40, "events": (10, 20), **changes}
    )


def test_the_default_world_is_what_it_was():
    # Published numbers stand on it: a change of this hash needs a new version and new numbers.
    assert load_synthetic().fingerprint == (
        "4ef225dd61736619e2691b1ae447c1e2025bfac088af6bb438dfb03b2705791f"
    )


def test_the_same_settings_give_the_same_world():
    assert make_world(bulk()).fingerprint == make_world(bulk()).fingerprint
    assert make_world(bulk()).fingerprint != make_world(bulk(seed=1)).fingerprint


@settings(max_examples=30, deadline=None)
@given(
    users=st.integers(1, 60),
    items=st.integers(2, 50),
    genres=st.integers(1, 8),
    follow=st.floats(0, 1),
    drift=st.floats(0, 1),
    repeats=st.booleans(),
    short=st.integers(0, 5),
    data=st.data(),
)
def test_any_world_keeps_its_promises(users, items, genres, follow, drift, repeats, short, data):
    high = data.draw(st.integers(1, items - 1 if not repeats else 80))
    low = data.draw(st.integers(1, high))
    made = SyntheticSettings(
        users, items, (low, high), follow, genres, short_users=short, repeats=repeats,
        drift=drift, bulk=True,
    )  # fmt: skip
    if not repeats and items < 3:
        return  # short users may have as many events as there are items
    catalog, chunks = make_frames(made)
    frames = list(chunks)
    assert catalog[ITEM].to_list() == list(range(1, items + 1))
    assert catalog["genres"].list.len().is_between(1, 2).all()
    for frame in frames:
        lengths = frame[USER].value_counts().rows_by_key(USER)
        for user, (count,) in ((user, rows[0]) for user, rows in lengths.items()):
            assert low <= count <= high if user <= users else 1 <= count <= 2
        assert frame[ITEM].is_between(1, items).all()
        assert frame["rating"].is_between(1, 5).all()
        assert frame[TEXT].null_count() == 0
        for mine in frame.partition_by(USER):
            assert mine[TIMESTAMP].is_sorted()
            assert repeats or mine[ITEM].is_unique().all()
    assert sum(frame[USER].n_unique() for frame in frames) == users + short


@pytest.mark.parametrize("drift", [0.0, 0.05])
def test_the_planted_preference_can_be_found(drift):
    world = make_world(bulk(drift=drift))
    split: Split = split_last(world)
    validate = NextItem(NextItemSettings()).validator(split, "exclude")
    events = split.train.events
    counts = torch.from_numpy(np.bincount(events.items, minlength=len(world.catalog) + 1)).float()
    popular = validate(FixedScores(counts))
    planted = validate(TransitionCounts(events))
    assert planted["recall@1"] > 0.5 > 2 * popular["recall@1"]


def liked_shares(world) -> tuple[float, float]:
    """How often an event in the second half of a history has the genre that was the most frequent
    in the first half, and in the last quarter of the first half."""
    log = world.events
    genre = world.catalog.columns["genres"][:, 0][log.items]
    far, near = [], []
    for begin, end in zip(log.indptr[:-1], log.indptr[1:], strict=True):
        mine = genre[begin:end]
        half, part = len(mine) // 2, len(mine) // 8
        far += list(mine[-part:] == np.bincount(mine[:part]).argmax())
        near += list(mine[-part:] == np.bincount(mine[half : len(mine) - part]).argmax())
    return float(np.mean(far)), float(np.mean(near))


@pytest.mark.parametrize("made", [True, False])
def test_drift_moves_what_a_user_likes(made):
    facts = {"users": 120, "items": 400, "events": (60, 80), "follow": 0.0, "bulk": made}
    still_far, still_near = liked_shares(make_world(SyntheticSettings(**facts)))
    far, near = liked_shares(make_world(SyntheticSettings(**facts, drift=0.03)))
    assert abs(still_far - still_near) < 0.1  # without it, the beginning tells as much
    assert far < still_far - 0.1
    assert far < near


@pytest.mark.parametrize("made", [True, False])
def test_texts_depend_on_user_item_and_rating(made):
    world = make_world(bulk(bulk=made, titled=True))
    log = world.events
    texts = list(log.written[TEXT])
    titles = world.catalog.texts
    for row in range(log.num_users):
        span = range(log.indptr[row], log.indptr[row + 1])
        moods = {texts[position].split()[-1].rstrip(".") for position in span}
        assert len(moods) == 1
        assert moods <= set(MOODS)
        for position in span:
            title = titles[log.items[position]].split(" (")[0]
            assert f", {title}, and I like it" in texts[position]
    assert len(set(texts)) > 0.5 * len(texts)


def test_titles_may_be_shared():
    world = make_world(bulk(duplicate_titles=7))
    assert world.facts["duplicate_texts"] == 7


def test_a_million_events_are_made():
    _, chunks = make_frames(bulk(users=10_000, items=5_000, events=(50, 150)), texts=False)
    count = sum(len(chunk) for chunk in chunks)
    assert 900_000 < count < 1_100_000
