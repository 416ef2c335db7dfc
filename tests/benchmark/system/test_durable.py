"""Whatever writes in one step is killed at each of its steps: what is read is old or new."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmark.system.durable import alone_in, sync, sync_tree, whole_file
from benchmark.system.folders import in_place, recover
from benchmark.tuning.tuned import read_tuned, write_tuned
from benchmark.types import StageReport
from tests.dying import deaths
from tests.fakes import Silent, make_tables
from userllm.training.cache import cached_stage
from userllm.training.resume import CheckpointFile

OLD, NEW = "old" * 50, "new" * 50


def write_file(target: Path, text: str = NEW) -> None:
    with whole_file(target) as fresh:
        fresh.write_text(text)


def write_folder(target: Path, text: str = NEW) -> None:
    with in_place(target) as fresh:
        (fresh / "a").write_text(text)
        (fresh / "b").mkdir()
        (fresh / "b" / "c").write_text(text)


def read_folder(target: Path) -> set[str]:
    return {path.read_text() for path in (target / "a", target / "b" / "c")}


@pytest.mark.parametrize("there", [True, False])
def test_a_file_is_old_or_new_and_nothing_stays_beside_it(tmp_path: Path, there: bool) -> None:
    target = tmp_path / "folder" / "file"
    if there:
        write_file(target, OLD)
    seen = set()
    for where in deaths(lambda: write_file(target)):
        seen.add(target.read_text() if target.exists() else "")
        if where and there and seen == {OLD, NEW}:
            write_file(target, OLD)
    assert seen == {OLD if there else "", NEW}
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_file(target, OLD)
    with pytest.raises(ZeroDivisionError), whole_file(target) as fresh:
        fresh.write_text(NEW + str(1 / 0))
    assert target.read_text() == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_is_old_or_new_once_it_is_recovered(tmp_path: Path, there: bool) -> None:
    target = tmp_path / "name"
    if there:
        write_folder(target, OLD)
    between = 0
    for where in deaths(lambda: write_folder(target)):
        between += there and not target.exists()
        recover(target)
        assert target.exists() or (not there and where)
        if target.exists():
            assert read_folder(target) in ({OLD}, {NEW}), where
        if there and where:
            write_folder(target, OLD)
    assert read_folder(target) == {NEW}
    assert bool(between) == there
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_what_belongs_to_a_longer_name_is_left_alone(tmp_path: Path) -> None:
    for other in (".tmp-name-more-12345678-old", ".tmp-name-12345678-87654321", ".tmp-name-1"):
        (tmp_path / other).mkdir()
    recover(tmp_path / "name")
    assert len(list(tmp_path.iterdir())) == 3
    recover(tmp_path / "nowhere" / "name")


def build_stage(folder: Path) -> StageReport:
    (folder / "weights").write_text(NEW)
    return StageReport("stage", 1.0)


def test_a_shared_stage_is_there_or_not(tmp_path: Path) -> None:
    for where in deaths(lambda: cached_stage(tmp_path, "key", build_stage)):
        built: list[Path] = []

        def build(folder: Path, built: list[Path] = built) -> StageReport:
            built.append(folder)
            return build_stage(folder)

        place, report = cached_stage(tmp_path, "key", build)
        assert (place / "weights").read_text() == NEW, where
        assert report.reused == (not built)
        if where:
            for path in sorted(place.rglob("*")):
                path.unlink()
            place.rmdir()
    assert {path.name for path in tmp_path.iterdir()} == {".locks", "key"}


@pytest.mark.parametrize("size", [0, 1, 75, 149])
def test_a_stage_that_was_cut_or_changed_is_built_again(tmp_path: Path, size: int) -> None:
    place, _ = cached_stage(tmp_path, "key", build_stage)
    (place / "weights").write_text(NEW[:size])
    again, report = cached_stage(tmp_path, "key", build_stage)
    assert not report.reused
    assert (again / "weights").read_text() == NEW
    (place / "weights").write_text(OLD)
    assert not cached_stage(tmp_path, "key", build_stage)[1].reused
    assert cached_stage(tmp_path, "key", build_stage)[1].reused


def test_of_two_that_need_a_stage_one_builds_it(tmp_path: Path) -> None:
    waited, built, told = threading.Event(), [], []

    def build(folder: Path) -> StageReport:
        built.append(folder)
        assert waited.wait(60)
        return build_stage(folder)

    def tell(text: str) -> None:
        told.append(text)
        waited.set()

    def make() -> None:
        reports.append(cached_stage(tmp_path, "key", build, tell)[1])

    reports: list[StageReport] = []
    both = [threading.Thread(target=make) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(built) == 1
    assert told == ["another cell makes this stage too; waiting for it"]
    assert sorted(report.reused for report in reports) == [False, True]


def test_a_checkpoint_is_old_or_new(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "c.pt", "owner", Silent())
    old, new = {"weights": torch.zeros(9)}, {"weights": torch.ones(9)}
    file.save(old)
    for where in deaths(lambda: file.save(new), half_bytes=500):
        loaded = file.load()
        assert loaded is not None, where
        assert float(loaded["weights"].sum()) in (0.0, 9.0)
        if where:
            file.save(old)
    assert float(loaded["weights"].sum()) == 9.0
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt"]


def test_a_file_of_settings_is_old_or_new(tmp_path: Path) -> None:
    path, tables = tmp_path / "tuned.yaml", make_tables()
    write_tuned(path, {}, tables)
    for where in deaths(lambda: write_tuned(path, {}, tables)):
        assert read_tuned(path) == {}, where
    assert [own.name for own in tmp_path.iterdir()] == ["tuned.yaml"]


def test_whoever_is_alone_in_a_folder_keeps_others_waiting(tmp_path: Path) -> None:
    order = []
    inside = threading.Event()

    def second() -> None:
        inside.wait(60)
        with alone_in(tmp_path / "folder"):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with alone_in(tmp_path / "folder"):
        inside.set()
        thread.join(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert list((tmp_path / "folder").iterdir()) == []


def test_where_folders_cannot_be_locked_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with alone_in(tmp_path), alone_in(tmp_path):
        write_file(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_content_is_on_the_disk_before_it_has_its_name(
    write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    def keep(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def kept(*given: object, **named: object) -> object:
            events.append(name)
            return function(*given, **named)

        return kept

    for name in ("fsync", "replace", "rename"):
        monkeypatch.setattr(os, name, keep(name, getattr(os, name)))
    write(tmp_path / "target")
    moved = next(n for n, event in enumerate(events) if event != "fsync")
    assert events[:moved].count("fsync") == (1 if write is write_file else 4)
    assert events[moved + 1 :] == ["fsync"]


def test_what_is_not_there_needs_no_waiting(tmp_path: Path) -> None:
    sync(tmp_path / "nothing")
    sync_tree(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []
