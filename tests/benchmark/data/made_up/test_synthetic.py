import numpy as np
import pytest
import torch

from benchmark.data.made_up.synthetic import SyntheticSettings, load_synthetic, make_world
from benchmark.tasks.config import NextItemSettings
from benchmark.tasks.next_item import NextItem
from tests.world import FixedScores, TransitionCounts, small_world


def test_the_same_settings_give_the_same_world():
    assert small_world().fingerprint == small_world().fingerprint
    assert small_world().fingerprint != small_world(seed=8).fingerprint


def test_the_planted_preference_can_be_found(world, world_split):
    task = NextItem(NextItemSettings())
    validate = task.validator(world_split, "exclude")
    events = world_split.train.events
    counts = torch.from_numpy(np.bincount(events.items, minlength=len(world.catalog) + 1)).float()
    popular = validate(FixedScores(counts))
    planted = validate(TransitionCounts(events))
    assert planted["recall@1"] > 0.5 > 3 * popular["recall@1"]
    assert planted["mrr@10"] > 2 * popular["mrr@10"]


def test_titles_are_readable_and_unique():
    world = load_synthetic()
    assert world.facts["duplicate_texts"] == 0
    for text in world.catalog.texts[1:]:
        assert text.isascii()
        assert text[0].isupper()


def test_event_text_depends_on_user_and_item(world):
    log = world.events
    moods = [text.split()[-1] for text in log.written["text"]]
    for row in range(log.num_users):
        assert len(set(moods[log.indptr[row] : log.indptr[row + 1]])) == 1
    assert len(set(moods)) > 1
    genres = {text.split()[2] for text in log.written["text"]}
    assert len(genres) > 1


def test_options():
    world = small_world(duplicate_titles=5, short_users=6, tied=0.5, repeats=True)
    assert world.facts["duplicate_texts"] == 5
    assert (world.events.lengths <= 2).sum() == 6
    assert world.has_repeats
    assert not small_world().has_repeats
    log = world.events
    inside = np.ones(log.num_events - 1, dtype=bool)
    inside[log.indptr[1:-1] - 1] = False
    share = (np.diff(log.timestamps) == 0)[inside].mean()
    assert 0.4 < share < 0.6


def test_thousands_of_items():
    world = make_world(SyntheticSettings(users=50, items=3000, events=(5, 9)))
    assert len(set(world.catalog.texts)) == 3001


@pytest.mark.parametrize("wrong", [{"events": (9, 5)}, {"genres": 9}, {"events": (5, 40)}])
def test_worlds_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="must be"):
        small_world(**wrong)
