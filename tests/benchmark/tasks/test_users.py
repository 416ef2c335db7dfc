"""A task that asks some of the users asks the same ones every time, and no others."""

from __future__ import annotations

import pytest

from benchmark.data.dataset import Dataset
from benchmark.data.division import Split
from benchmark.tasks.config import NextItemSettings
from benchmark.tasks.next_item import NextItem
from tests.world import TransitionCounts


def asked(world: Dataset, split: Split, users: int, part: str = "test") -> list[str]:
    task = NextItem(NextItemSettings(users=users, bootstrap_samples=100))
    method = TransitionCounts(split.train.events)
    found = task.evaluate(method, split, world, "include", part=part).examples["user"].to_list()
    assert len(task.asking(split, "include", part).examples) == len(found)
    return found


@pytest.mark.parametrize("part", ["test", "validation"])
def test_some_users_are_drawn_once_and_for_all(
    world: Dataset, world_split: Split, part: str
) -> None:
    everybody = asked(world, world_split, 0, part)
    some = asked(world, world_split, 10, part)
    assert len(some) == len(set(some)) == 10
    assert set(some) < set(everybody)
    assert asked(world, world_split, 10, part) == some
    assert asked(world, world_split, 10_000, part) == everybody
