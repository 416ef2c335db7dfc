from __future__ import annotations

import errno
import mmap
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue
from threading import Event

import numpy as np
import pytest

from benchmark.data import cuts, division
from benchmark.data.leaks import find_leaks
from benchmark.data.splits import split_cold_items, split_global_time, split_last
from benchmark.errors import RunError
from benchmark.events import EventLog
from tests.world import small_world


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A world without texts, whose cuts are all large enough for files."""
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path))
    monkeypatch.setattr(cuts, "SHARED_EVENTS", 1)
    made = small_world(short_users=9, tied=0.5)
    log = made.events
    begins = np.repeat(log.timestamps[log.indptr[:-1]], log.lengths)
    times = begins + (log.timestamps - begins) * 3000  # months, not hours: for a split by date
    return replace(made, events=replace(log, written={}, timestamps=times))


def arrays_of(log: EventLog) -> dict[str, np.ndarray]:
    return {"indptr": log.indptr, "timestamps": log.timestamps, **log.columns}


def mapping_of(array: np.ndarray) -> mmap.mmap | None:
    base: object = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    return base


@pytest.mark.parametrize("divide", [split_last, split_global_time, split_cold_items])
def test_a_split_in_files_is_that_in_memory(world, monkeypatch, divide):
    in_files = divide(world)
    again = divide(world)
    monkeypatch.setattr(cuts, "SHARED_EVENTS", 10**9)
    copied = divide(world)
    for split in (in_files, again):
        assert split.train.fingerprint == copied.train.fingerprint
        assert split.target_hash == copied.target_hash
        assert find_leaks(world, split) == []
        for part in ("train", "validation", "test"):
            logs = [getattr(s, part) for s in (split, copied)]
            logs = [log.events if part == "train" else log.log for log in logs]
            for name, array in arrays_of(logs[0]).items():
                assert np.array_equal(array, arrays_of(logs[1])[name]), (part, name)


def test_what_was_cut_off_is_in_no_file_of_the_cut(world):
    split = split_last(world)
    log = split.train.events
    assert log.num_events < world.events.num_events
    for name, array in arrays_of(log).items():
        held = mapping_of(array)
        assert held is not None
        assert not array.flags.writeable
        rows = log.num_users + 1 if name == "indptr" else log.num_events
        assert len(held) < array.itemsize * rows + 256  # a header, and nothing behind
        whole = arrays_of(world.events)[name]
        assert not np.shares_memory(array, whole)


def test_a_cut_is_written_once_and_anew_where_it_is_damaged(world, monkeypatch):
    written = []
    write = cuts._write
    monkeypatch.setattr(cuts, "_write", lambda *a: (written.append(1), write(*a)))
    keep = np.arange(world.events.num_events) % 3 > 0
    expected = world.events.only(keep).items.tolist()
    with ThreadPoolExecutor(2) as both:
        logs = list(both.map(lambda _: cuts.cut(world, keep), range(2)))
    assert [log.items.tolist() for log in logs] == [expected] * 2
    assert written == [1]
    (folder,) = cuts.cuts_of(world.name).iterdir()
    os.truncate(folder / "timestamps.npy", 100)
    assert cuts.cut(world, keep).items.tolist() == expected
    assert written == [1, 1]
    shutil.rmtree(folder)
    assert cuts.cut(world, keep).items.tolist() == expected
    assert logs[0].items.tolist() == expected  # who has opened one reads on
    cuts.forget(world.name, print)
    assert not cuts.cuts_of(world.name).exists()


def test_who_forgets_waits_for_who_writes_and_says_so(world, monkeypatch):
    begun, go_on, said = Event(), Event(), SimpleQueue()
    write = cuts._write

    def slowly(*arguments):
        begun.set()
        assert go_on.wait(60)
        write(*arguments)

    monkeypatch.setattr(cuts, "_write", slowly)
    keep = np.arange(world.events.num_events) % 2 > 0
    with ThreadPoolExecutor(2) as both:
        writing = both.submit(cuts.cut, world, keep)
        assert begun.wait(60)
        forgetting = both.submit(cuts.forget, world.name, said.put)
        line = said.get(timeout=60)
        there = cuts.cuts_of(world.name).exists()
        go_on.set()
        assert writing.result(60).items.tolist() == world.events.only(keep).items.tolist()
        forgetting.result(60)
    assert there
    assert line == f"another process is at the training events of {world.name}; waiting for it"
    assert not cuts.cuts_of(world.name).exists()


def test_who_writes_waits_for_who_forgets_and_says_so(world, monkeypatch, capsys):
    begun, go_on = Event(), Event()
    remove = shutil.rmtree

    def slowly(folder, **options):
        begun.set()
        assert go_on.wait(60)
        remove(folder, **options)

    keep = np.arange(world.events.num_events) % 2 > 0
    cuts.cut(world, ~keep)
    with ThreadPoolExecutor(2) as both:
        with monkeypatch.context() as patch:
            patch.setattr(cuts.shutil, "rmtree", slowly)
            forgetting = both.submit(cuts.forget, world.name, print)
            assert begun.wait(60)
        monkeypatch.setattr(cuts, "on_stderr", lambda line: (print(line), go_on.set()))
        writing = both.submit(cuts.cut, world, keep)
        forgetting.result(60)
        assert writing.result(60).items.tolist() == world.events.only(keep).items.tolist()
    assert "another process is at the training events" in capsys.readouterr().out
    assert len(list(cuts.cuts_of(world.name).iterdir())) == 1


def test_another_mask_is_another_cut(world):
    keep = np.ones(world.events.num_events, dtype=bool)
    for place in range(3):
        keep[place] = False
        assert cuts.cut(world, keep).num_events == world.events.num_events - place - 1


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS])
def test_where_nothing_can_be_written_one_line_says_so(world, monkeypatch, reason):
    def refuse(*_: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(cuts, "write_array", refuse)
    with pytest.raises(RunError, match="USERLLM_BENCH_HOME") as caught:
        split_last(world)
    assert "\n" not in str(caught.value)
    assert list(cuts.cuts_of(world.name).iterdir()) == []


def test_small_cuts_make_no_files(world, monkeypatch):
    monkeypatch.setattr(cuts, "SHARED_EVENTS", world.events.num_events + 1)
    division.training_data(world, np.ones(world.events.num_events, dtype=bool))
    assert not cuts.cuts_of(world.name).exists()
