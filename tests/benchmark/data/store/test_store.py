from __future__ import annotations

import mmap
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from benchmark.data.dataset import Dataset, build_dataset, fingerprint
from benchmark.data.store.manifest import dataset_folder, read_manifest
from benchmark.data.store.store import Origin, open_dataset, write_dataset
from benchmark.events import EventLog, cut_windows
from benchmark.schema import Feature, FeatureKind, number
from benchmark.types import IDS
from tests.world import small_world


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Writes a data set and opens it."""
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path))

    def through(dataset: Dataset) -> Dataset:
        folder = dataset_folder(dataset.name)
        folder.mkdir(parents=True)
        write_dataset(dataset, folder, Origin())
        return open_dataset(dataset.name)

    return through


def odd() -> Dataset:
    """Whatever a data set may have that the small world lacks."""
    features = [
        Feature("a/b", FeatureKind.CATEGORY, 2, labels=("x", "y")),
        Feature("A-B", FeatureKind.CATEGORY, 2, labels=("x", "y")),
        Feature("ü" * 200, FeatureKind.CATEGORY, 2, labels=("x", "y")),
        Feature("tags", FeatureKind.MULTI, 2, width=2, labels=("x", "y")),
        number("price", (5.0, 0.1 + 5), of_item=True),
        number("hours", (1.0, 2.0)),
        Feature("kind", FeatureKind.CATEGORY, 1, of_item=True, labels=("ü\n",)),
        Feature("words", FeatureKind.MULTI, 1, of_item=True, labels=("t",)),
    ]
    events = pl.DataFrame(
        {
            "user": ["z", "ü", "z"],
            "item": ["i 1", "i 2", "i 2"],
            "timestamp": [3, -5, 2**40],
            "a/b": ["x", "y", None],
            "A-B": ["y", "y", "x"],
            "ü" * 200: ["x", "x", "x"],
            "tags": [["x"], [], ["y", "x"]],
            "hours": [None, 1.5, -3.0],
            "summary": ["a\nb", None, "日本"],
        }
    )
    catalog = pl.DataFrame(
        {
            "item": ["i 1", "i 2", "never met"],
            "text": ["日本", "two", "three"],
            "price": [5.05, None, 7.0],
            "kind": ["ü\n", None, None],
            "words": [["t"], [], None],
        }
    )
    return build_dataset(
        "odd",
        events,
        catalog,
        features,
        source="s",
        licence="l",
        citation="c",
        label_feature="words",
        text_source=IDS,
    )


WORLDS = {
    "world": small_world,
    "no text": lambda: without_words(small_world()),
    "repeats": lambda: small_world(repeats=True),
    "odd": odd,
}


def without_words(dataset: Dataset) -> Dataset:
    events = replace(dataset.events, written={})
    return replace(
        dataset,
        events=events,
        fingerprint=fingerprint(dataset.catalog, events, dataset.users.external_ids),
    )


@pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS)
def test_what_is_opened_is_what_was_written(store, make):
    made = make()
    opened = store(made)
    for name in ("name", "fingerprint", "has_repeats", "licence", "citation", "source", "facts"):
        assert getattr(opened, name) == getattr(made, name), name
    for name in ("label_feature", "broken", "notes"):
        assert getattr(opened, name) == getattr(made, name), name
    assert list(opened.users.external_ids) == list(made.users.external_ids)
    assert list(opened.catalog.items.external_ids) == list(made.catalog.items.external_ids)
    assert list(opened.catalog.texts) == list(made.catalog.texts)
    assert opened.catalog.text_source == made.catalog.text_source
    assert opened.events.schema == made.events.schema
    assert opened.events.columns.keys() == made.events.columns.keys()
    assert opened.catalog.columns.keys() == made.catalog.columns.keys()
    for name, column in made.events.columns.items():
        assert opened.events.columns[name].dtype == column.dtype == np.int32
        assert np.array_equal(opened.events.columns[name], column)
    for name, column in made.catalog.columns.items():
        assert np.array_equal(opened.catalog.columns[name], column)
        assert opened.events.item_columns[name] is opened.catalog.columns[name]
    assert np.array_equal(opened.events.indptr, made.events.indptr)
    assert np.array_equal(opened.events.timestamps, made.events.timestamps)
    assert opened.events.written == made.events.written
    again = fingerprint(opened.catalog, opened.events, opened.users.external_ids)
    assert again == made.fingerprint


def test_ids_are_found_both_ways(store):
    opened = store(odd())
    assert opened.users.to_internal("ü") == 2
    assert opened.catalog.items.to_external(3) == "never met"


def test_the_tables_say_in_words_what_the_arrays_hold(store):
    store(odd())
    folder = dataset_folder("odd")
    items = pl.read_parquet(folder / "items.parquet").to_dict(as_series=False)
    assert items == {
        "item": ["i 1", "i 2", "never met"],
        "text": ["日本", "two", "three"],
        "price": [2, 0, 3],
        "kind": ["ü\n", None, None],
        "words": [["t"], [], []],
        "events": [1, 2, 0],
    }
    users = pl.read_parquet(folder / "users.parquet").to_dict(as_series=False)
    assert users == {"user": ["z", "ü"], "events": [2, 1]}


def backing(array: np.ndarray) -> object:
    """What an array's memory belongs to."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base


def test_nothing_is_read_before_it_is_asked_for(store):
    log = store(small_world()).events
    arrays = [log.indptr, log.timestamps, *log.columns.values(), *log.item_columns.values()]
    arrays += [part for texts in log.written.values() for part in (texts.offsets, texts.data)]
    for array in arrays:
        assert isinstance(backing(array), mmap.mmap)
        assert type(array) is np.ndarray
        assert not array.flags.writeable


def test_a_batch_copies_nothing_of_the_data_set(store):
    """What a batch allocates depends on the batch alone, however long the columns are."""
    allocated = []
    for users in (10, 4000):
        made = small_world()
        count = users * 50
        events = EventLog(
            schema=made.events.schema,
            indptr=np.arange(users + 1, dtype=np.int64) * 50,
            columns={name: np.ones(count, dtype=np.int32) for name in made.events.columns},
            item_columns=made.events.item_columns,
            timestamps=np.arange(count),
        )
        ids = [f"u{n}" for n in range(users)]
        data = replace(made, name=f"w{users}", events=events, users=type(made.users)(ids))
        windows = cut_windows(store(data).events, 21)
        order = np.arange(8)
        next(windows.batches(order, 8))  # whatever is loaded once
        tracemalloc.start()
        next(windows.batches(order, 8))
        allocated.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert allocated[1] < allocated[0] + 2000
    assert allocated[1] < 4000 * 50  # bytes: less than a twentieth of the columns


def test_manifests_are_read_without_anything_heavy(store):
    store(odd())
    script = (
        "import sys; from benchmark.data.store.store import read_manifest;"
        "print(read_manifest('odd').facts['users']);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'polars', 'pyarrow')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
    assert read_manifest("even") is None
