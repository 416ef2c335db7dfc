"""A fake method that keeps what it trains where several runs share it."""

from __future__ import annotations

from dataclasses import replace

from benchmark.entries import MethodEntry
from benchmark.tables import Tables
from benchmark.types import StageReport
from tests.fakes import Fake, make_tables
from userllm.training.cache import cached_stage


class Keeper(Fake):
    """Keeps a stage by its name and seed."""

    def fit(self, data, context):
        def build(folder):
            (folder / "weights").write_text("w")
            return StageReport("keep", seconds=0.1)

        key = f"kept-{self.settings.name}-{context.seed}"
        _, kept = cached_stage(context.cache, key, build)
        return replace(super().fit(data, context), stages=(kept,))


def keeper_tables() -> Tables:
    """The fakes, with the keeper."""
    tables = make_tables()
    tables.methods.add(
        "keeper",
        MethodEntry(
            "tests.fake_keeper:Keeper",
            "keeps a stage",
            settings="tests.fakes:FakeSettings",
            capabilities=("CandidateRanker",),
            in_stages=True,
        ),
    )
    return tables
