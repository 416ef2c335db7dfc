"""Fixtures that all tests share."""

from __future__ import annotations

import pytest

from benchmark.data.dataset import Dataset
from benchmark.data.division import Split
from benchmark.data.splits import split_last
from tests.processes import started
from tests.tiny_model import encoder, llm, schema, trie
from tests.world import small_world

__all__ = ["encoder", "llm", "schema", "started", "trie", "world", "world_split"]


@pytest.fixture(scope="session")
def world() -> Dataset:
    """The small world. Do not change it: it is shared by all tests."""
    return small_world()


@pytest.fixture(scope="session")
def world_split(world: Dataset) -> Split:
    """The small world, split by `last`."""
    return split_last(world)
