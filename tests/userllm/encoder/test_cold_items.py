"""Where titles say what follows, text brings items within reach that nobody has met."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.data.dataset import Dataset
from benchmark.data.division import Split
from benchmark.data.splits import split_cold_items
from benchmark.data.splits_config import ColdItemsSettings
from benchmark.tasks.config import NextItemSettings
from benchmark.tasks.evaluation import Evaluation
from benchmark.tasks.next_item import NextItem
from tests.fakes import Silent
from tests.titled_world import titled_world
from tests.userllm.training.test_training import Quiet
from userllm.config import UserEncoderSettings
from userllm.encoder.item_text import item_vectors
from userllm.encoder.pretraining import pretrained_encoder
from userllm.encoder_method import EncoderRanker

METRIC = "recall@10"


@pytest.fixture(scope="module")
def cold() -> tuple[Dataset, Split]:
    """The titled world, where a fifth of the items is cold."""
    world = titled_world()
    return world, split_cold_items(world, settings=ColdItemsSettings(share=0.2))


def outcome(world: Dataset, split: Split, cache: Path, *, item_text: bool) -> Evaluation:
    settings = UserEncoderSettings.model_validate(
        {
            "transformer": {"width": 32, "layers": 1, "dropout": 0.1},
            "fit": {"history": 10, "batch_size": 32, "epochs": 12, "looks": 0},
            "optimizer": {"learning_rate": 0.005},
            "item_text": item_text,
        }
    )
    train = split.train
    vectors, _ = item_vectors(
        train.catalog, train.events, settings, name=None, seed=0, cache=cache, progress=Quiet()
    )
    encoder, _ = pretrained_encoder(
        train.events,
        settings,
        seed=0,
        fingerprint=train.fingerprint,
        cache=cache,
        progress=Quiet(),
        text=vectors,
    )
    task = NextItem(NextItemSettings())
    ranker = EncoderRanker(encoder)
    return task.evaluate(ranker, split, world, "exclude", "test", Silent(), "user_encoder")


def test_text_reaches_items_that_no_training_event_has(
    cold: tuple[Dataset, Split], tmp_path: Path
) -> None:
    world, split = cold
    assert split.test.groups["cold"].sum() > 40
    without = outcome(world, split, tmp_path, item_text=False)
    reading = outcome(world, split, tmp_path, item_text=True)
    group = f"{METRIC}/cold"
    assert reading.intervals[group][0] > without.intervals[group][1]
    assert reading.intervals[group][0] > 10 / len(world.catalog)  # better than chance, too
    # What was met is found about as well as before, and so all in all more is found.
    warm = f"{METRIC}/warm"
    assert reading.metrics[warm] > without.intervals[warm][0]
    assert reading.metrics[METRIC] > without.metrics[METRIC]
