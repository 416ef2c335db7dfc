"""A fake method whose settings matter, its search space, and a world whose test targets differ."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
import yaml
from pydantic import Field

from benchmark.entries import DatasetEntry, MethodEntry
from benchmark.registry import Registry
from benchmark.schema import ITEM
from benchmark.tables import Tables
from benchmark.types import rank_scores
from tests.fakes import Fake, FakeSettings, make_tables
from tests.world import randomise_tests, small_world

SPACE = {
    "noise": {"low": 0.0, "high": 8.0},
    "rate": {"low": 1e-4, "high": 0.1, "log": True},
    "epochs": {"low": 1, "high": 4},
    "fusion.every": [1, 2, 3, 4],
}


class NoisySettings(FakeSettings):
    noise: float = Field(4.0, ge=0, description="how much chance decides")


class Noisy(Fake):
    """Counts transitions, and ranks the worse the more noise it is told to add."""

    def rank(self, histories, candidates, k):
        scores = self.counts.counts[histories.features[ITEM][:, -1]]
        noise = torch.rand(scores.shape, generator=torch.Generator().manual_seed(0))
        return rank_scores(scores + 10 * self.settings.noise * noise, candidates, k)


@cache
def world():
    """The small world, made once: every trial opens it."""
    return small_world()


@cache
def altered_world():
    """The small world with other test targets."""
    return randomise_tests(world())


def noisy_tables(folder, **spaces) -> Tables:
    """Tables of fakes with methods that can be tuned; `noisy` and `noisy_flat` share a section."""
    tables = make_tables()
    datasets: Registry[DatasetEntry] = Registry("data set")
    for name, function in {"world": "world", "altered": "altered_world"}.items():
        target = f"tests.benchmark.tuning.learner:{function}"
        datasets.add(name, DatasetEntry(target, "a world", embedded=True))
    for name, fixed in {"noisy": {}, "noisy_flat": {"fusion": {"every": 3}}, "other": {}}.items():
        tables.methods.add(
            name,
            MethodEntry(
                "tests.benchmark.tuning.learner:Noisy",
                "ranks with noise",
                settings="tests.benchmark.tuning.learner:NoisySettings",
                section="noisy" if name == "noisy_flat" else "",
                overrides=fixed,
                capabilities=("CandidateRanker",),
            ),
        )
    folder.mkdir(exist_ok=True)
    for name, space in {
        "noisy": SPACE,
        "other": SPACE,
        "broken": {"rate": [1e-3, 1e-2]},
        **spaces,
    }.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(space, sort_keys=False))
    return replace(tables, datasets=datasets, spaces=folder)
