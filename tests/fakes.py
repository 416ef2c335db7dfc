"""A fake task list, data set and methods for tests of the harness, and a way to run it all.

`python -m tests.fakes run ...` is the command line over these tables.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from benchmark.entries import DatasetEntry, MethodEntry, SplitEntry, TaskEntry
from benchmark.registry import Entry, Registry
from benchmark.tables import PRESETS, Tables
from benchmark.types import CurvePoint, FitReport, StageReport
from tests.world import TransitionCounts

METRICS = ("recall@1", "recall@5", "recall@10", "ndcg@10", "mrr@10")


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    every: int = Field(1, ge=1, description="how often")
    kind: Literal["deep", "flat"] = Field("deep", description="how")


class FakeSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: float = Field(2, gt=0, description="passes")
    rate: float = Field(1e-3, gt=0, lt=1, description="learning rate")
    name: str = Field("x", description="a text")
    names: tuple[str, ...] | None = Field(None, description="texts")
    flag: bool = Field(False, description="a switch")
    fusion: Inner = Inner(every=3)
    fail: str = Field("", description="how to fail")
    wait: float = Field(0, ge=0, description="seconds to sleep while fitting")
    log: str = Field("", description="file that gets a line a fit")


class Fake:
    """Counts transitions; fails, sleeps and leaves a trace as it is told."""

    history_length = 1

    def __init__(self, settings: FakeSettings) -> None:
        self.settings = settings

    def fit(self, data, context):
        settings = self.settings
        if settings.log:
            with Path(settings.log).open("a") as file:
                file.write("fit\n")
        context.progress.stage("count", settings.epochs)
        context.progress.update(1.0, loss=2.5)
        if settings.wait:
            time.sleep(settings.wait)
        self._fail()
        print("a library that talks on stdout")
        self.noise = torch.rand(3)
        self.counts = TransitionCounts(data.events)
        value = context.validate(self.counts)["recall@10"]
        context.progress.update(settings.epochs, value=value)
        stage = StageReport(
            "count", seconds=0.5, steps=10, epochs=settings.epochs, targets=100,
            curve=(CurvePoint(0.2, 5, value / 2), CurvePoint(0.5, 10, value)),
        )  # fmt: skip
        return FitReport((stage,), parameters=12, trained_parameters=12, notes=("a note",))

    def _fail(self) -> None:
        fail = self.settings.fail
        if fail == "nan":
            raise FloatingPointError("the loss of stage count is nan")
        if fail == "memory":
            raise MemoryError
        if fail == "disk":
            raise OSError(errno.ENOSPC, "No space left on device")
        if fail == "exit":
            sys.exit(3)
        if fail == "die" or (fail == "die once" and self._fits() == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if fail == "die once":
            return
        if fail == "lightning":
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt:
                sys.exit(1)
        if fail:
            raise RuntimeError("it broke\non two lines")

    def _fits(self) -> int:
        return len(Path(self.settings.log).read_text().splitlines())

    def rank(self, histories, candidates, k):
        return self.counts.rank(histories, candidates, k)

    def state(self):
        return {"counts": self.counts.counts, "noise": self.noise}


def make_tables(presets: Path = PRESETS) -> Tables:
    datasets: Registry[DatasetEntry] = Registry("data set")
    world = "tests.world:small_world"
    datasets.add("world", DatasetEntry(world, "a small world", embedded=True))
    datasets.add("gone", DatasetEntry(world, "not here", ("no_such_module",), embedded=True))
    splits: Registry[SplitEntry] = Registry("split")
    settings = "benchmark.data.splits_config:SplitSettings"
    splits.add("last", SplitEntry("benchmark.data.splits:split_last", "last", settings=settings))
    tasks: Registry[TaskEntry] = Registry("task")
    for name, need in (("next_item", "CandidateRanker"), ("writing", "TextGenerator")):
        tasks.add(
            name,
            TaskEntry(
                "benchmark.tasks.next_item:NextItem",
                "a task",
                settings="benchmark.tasks.config:NextItemSettings",
                needs=need,
                metrics=METRICS,
                numbers="benchmark.tasks.next_item_numbers:NUMBERS",
                answers="benchmark.importing.next_item:JUDGE" if name == "next_item" else "",
            ),
        )
    methods: Registry[MethodEntry] = Registry("method")

    def add(name: str, **facts: object) -> None:
        facts = {"capabilities": ("CandidateRanker",), **facts}
        entry = MethodEntry(
            "tests.fakes:Fake", "a fake", settings="tests.fakes:FakeSettings", **facts
        )
        methods.add(name, entry)

    add("alpha", in_default=True, uses_llm=True)
    add("beta", in_default=True)
    add("beta_deep", section="beta", overrides={"fusion": {"kind": "flat"}})
    add("family/One", section="family")
    add("writer", capabilities=("TextGenerator",))
    add("broken", unavailable="it needs a thing: get it")
    metrics: Registry[Entry] = Registry("metric")
    for name in METRICS:
        metrics.add(name, Entry("benchmark.metrics.ranking:NEXT_ITEM_METRICS", "a metric"))
    return Tables(
        datasets, splits, tasks, methods, metrics, presets, made_by="tests.fakes:make_tables"
    )


class Silent:
    """Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begin(self, title):
        self.lines.append(f"begin {title}")

    def stage(self, name, total_epochs=None):
        self.lines.append(f"stage {name}")

    def update(self, epoch, loss=None, value=None):
        pass

    def note(self, text):
        self.lines.append(text)

    def finish(self, text):
        self.lines.append(text)

    def close(self):
        pass


if __name__ == "__main__":
    from benchmark.cli import main

    sys.exit(main(sys.argv[1:], make_tables()))
