"""Preparing what does not fit into memory: every array in a file, and very few rows at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data import encoding, ordering, partition, room
from benchmark.data.files import plain_text
from benchmark.data.raw import PrepareSettings
from benchmark.data.store import in_place
from benchmark.data.store.manifest import dataset_folder
from benchmark.data.store.prepare import prepare
from benchmark.data.store.store import open_dataset
from benchmark.errors import RunError
from benchmark.system import home
from benchmark.tables import default_tables

NAME = "ml-latest-small"
ROOT = Path(__file__).parents[4]
KEPT = PrepareSettings(minimum_history=1)
CORE = PrepareSettings(minimum_history=1, k_core=2)
ROWS = st.lists(
    # A small span of times makes ties, few users and items make repeats.
    st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 3), st.integers(0, 3)),
    min_size=12,
    max_size=80,
)


def write_files(folder: Path, rows: list[tuple[int, int, int, int]]) -> Path:
    """Ratings in the order given, and movies."""
    folder.mkdir(exist_ok=True)
    lines = [f"{user * 1000},{item},{stars}.5,{10**9 + time}" for user, item, stars, time in rows]
    (folder / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *lines, ""]))
    movies = [f"{item},Title {item} (2000),Drama" for item in range(1, 6)]
    (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *movies, ""]))
    return folder


def prepared(source: Path, asked: PrepareSettings = KEPT) -> dict[str, bytes]:
    """What preparing writes, by name; of the manifest what does not change with time."""
    entry = default_tables().dataset(NAME)
    done = prepare(NAME, entry, source, asked, force=True)
    said = done.manifest.model_dump_json(exclude={"created"}).encode()
    files = {path.name: path.read_bytes() for path in done.folder.rglob("*.[np]*") if path.suffix}
    return {**files, "manifest": said}


@contextlib.contextmanager
def little_memory(rows: int = 5) -> Iterator[None]:
    """All arrays lie in files, and at most some rows are worked on at a time."""
    with (
        mock.patch.object(room, "LARGE_BYTES", 1),
        mock.patch.multiple(partition, PART_ROWS=rows, ROWS_AT_ONCE=rows + 2, _LET_GO_EVERY=1),
        mock.patch.object(encoding, "PIECE", rows),
        mock.patch.object(ordering, "PIECE", rows),
        mock.patch.object(plain_text, "BLOCK_BYTES", 100),
    ):
        yield


@pytest.fixture(autouse=True, scope="module")
def no_wait_for_the_disk():
    """Nothing here is about a machine that crashes."""
    with mock.patch.object(os, "fsync", return_value=None):
        yield


@settings(deadline=None, max_examples=25)
@given(ROWS, st.integers(1, 9), st.sampled_from([KEPT, CORE]))
def test_little_memory_makes_the_same_bytes(rows, at_once, asked):
    core = [(user, item, 1, 0) for user in (1, 2) for item in (1, 2)]
    rows = [*rows, *core, *core]  # so that something is left
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, {"USERLLM_BENCH_HOME": f"{folder}/home"}),
    ):
        source = write_files(Path(folder) / "files", rows)
        expected = prepared(source, asked)
        with little_memory(at_once):
            assert prepared(source, asked) == expected


@settings(deadline=None, max_examples=15)
@given(ROWS)
def test_events_are_by_first_mention_then_time_then_row(rows):
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, {"USERLLM_BENCH_HOME": f"{folder}/home"}),
    ):
        with little_memory():
            prepared(write_files(Path(folder) / "files", rows))
        log = open_dataset(NAME).events
        once = list(dict.fromkeys(rows))
        users = list(dict.fromkeys(user for user, *_ in once))
        expected = sorted(once, key=lambda row: (users.index(row[0]), row[3]))
        assert log.items.tolist() == [item for _, item, _, _ in expected]
        assert log.columns["rating"].tolist() == [2 * stars + 1 for _, _, stars, _ in expected]
        assert log.timestamps.tolist() == [10**9 + time for *_, time in expected]
        owners = np.repeat(users, log.lengths)
        assert owners.tolist() == [user for user, *_ in expected]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2**32 - 1) | st.integers(0, 3))))
def test_pairs_that_stand_twice_are_found(pairs):
    users, items = (np.array([p[side] for p in pairs], dtype=np.uint32) for side in (0, 1))
    with little_memory():
        again = partition.twice(users, items)
        rows = partition.rows_of(again, users, items) if len(again) else again
    assert again.tolist() == sorted(
        (user << 32) + item for user, item in set(pairs) if pairs.count((user, item)) > 1
    )
    assert rows.tolist() == [row for row, pair in enumerate(pairs) if pairs.count(pair) > 1]


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    rng = np.random.default_rng(0)
    rows = [tuple(row) for row in rng.integers(1, (6, 6, 4, 4), (60, 4)).tolist()]
    return write_files(tmp_path / "files", rows)


def left_over() -> list[str]:
    """Files below the folder of the data sets, but locks."""
    files = home.datasets_folder().rglob("*")
    return [path.name for path in files if path.is_file() and path.suffix != ".lock"]


def _full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["an array", "rows"])
def test_a_full_disk_is_one_line_and_leaves_nothing(source, monkeypatch, where):
    if where == "an array":
        monkeypatch.setattr(os, "posix_fallocate", _full)
    else:
        monkeypatch.setattr(room, "write_column", _full)
    with little_memory(), pytest.raises(RunError, match=r"no room.*USERLLM_BENCH_HOME") as caught:
        prepared(source)
    assert "\n" not in str(caught.value)
    assert left_over() == []
    assert not dataset_folder(NAME).exists()


KILLED = """
import os, signal
from benchmark.data import event_columns
from tests.benchmark.data.store.test_prepare_large import Path, little_memory, prepared
event_columns.sort_in_place = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with little_memory():
    prepared(Path({source!r}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_kill_between_parts_leaves_no_file(source):
    command = [sys.executable, "-c", KILLED.format(source=str(source))]
    assert subprocess.run(command, cwd=ROOT).returncode == -signal.SIGKILL
    assert left_over() == []
    assert any((home.datasets_folder() / ".new").iterdir())  # the folder, which the next one clears
    prepared(source)
    assert not any((home.datasets_folder() / ".new").iterdir())


def test_nothing_is_left_of_files_without_a_name(source):
    made = []
    put = in_place.put_in_place
    with (
        little_memory(),
        mock.patch.object(
            in_place,
            "put_in_place",
            lambda name, new: (made.extend(path.name for path in new.iterdir()), put(name, new)),
        ),
    ):
        prepared(source)
    assert sorted(made) == ["arrays", "items.parquet", "manifest.json", "users.parquet"]
