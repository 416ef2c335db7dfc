"""Runs cells of the fakes, of a real method, or on prepared data, into a folder of the test's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any

from benchmark.config import read_config
from benchmark.data.store.manifest import dataset_folder
from benchmark.data.store.store import Origin, write_dataset
from benchmark.entries import DatasetEntry, MethodEntry
from benchmark.records.results import Row
from benchmark.registrations import ENCODERS, METHODS
from benchmark.registry import Registry
from benchmark.runs.runner import run
from benchmark.system.home import stages_folder
from benchmark.tables import Tables
from tests.fakes import Silent, make_tables
from tests.world import small_world

PREPARED = "stored"
SASREC = (
    "sasrec.transformer={width: 16, layers: 1, heads: 2}",
    "sasrec.fit={history: 12, batch_size: 16, epochs: 2, looks: 1}",
    "sasrec.optimizer={learning_rate: 5e-3}",
)
Start = Callable[..., list[Row]]


def tables_of(*real: str) -> Tables:
    """The fakes, with some real methods beside them, and a data set that is to be prepared."""
    tables = make_tables()
    methods: Registry[MethodEntry] = Registry("method")
    for name in tables.methods:
        methods.add(name, tables.methods[name])
    for name in real:
        methods.add(name, METHODS[name])
    datasets: Registry[DatasetEntry] = Registry("data set")
    datasets.add("world", tables.datasets["world"])
    datasets.add(PREPARED, DatasetEntry("tests.world:small_world", "a small world on the disk"))
    return Tables(
        datasets,
        tables.splits,
        tables.tasks,
        methods,
        tables.metrics,
        tables.presets,
        encoders=ENCODERS,
    )


def starter(tables: Tables, out: Path) -> Start:
    """What runs cells, each time without stages of before; what it heard is its `progress`."""

    def start(methods: str = "alpha", sets: Sequence[str] = (), **options: object) -> list[Row]:
        given: dict[str, Any] = {
            "task": "next_item",
            "dataset": "world",
            "methods": methods,
            "out": out,
            "set": list(sets),
            "threads": 1,
            **options,
        }
        rmtree(stages_folder(), ignore_errors=True)
        start.progress = Silent()  # type: ignore[attr-defined]
        progress = start.progress  # type: ignore[attr-defined]
        return run(read_config(None, given, tables), tables, progress, "")

    return start


def prepare(**changes: object) -> None:
    """Puts the small world on the disk as a prepared data set, in place of what is there."""
    folder = dataset_folder(PREPARED)
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_dataset(replace(small_world(**changes), name=PREPARED), folder, Origin())
