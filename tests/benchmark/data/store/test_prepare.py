from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from benchmark.data.dataset import fingerprint
from benchmark.data.raw import PrepareSettings
from benchmark.data.store import in_place, prepare, store
from benchmark.data.store.manifest import dataset_folder, read_manifest
from benchmark.data.store.store import open_dataset
from benchmark.errors import RunError, UserError
from benchmark.system import home
from tests.benchmark.data import csv_reader
from tests.benchmark.data.csv_reader import ENTRY, calls, prepare_csv

ROOT = Path(__file__).parents[4]


def whole_tree() -> dict[str, bytes]:
    """Everything below the folder of the data sets, but locks."""
    top = home.datasets_folder()
    files = [path for path in top.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in files}


def elsewhere(source: Path, *arguments: object) -> subprocess.Popen[str]:
    """`prepare_csv` in another process."""
    command = [sys.executable, "-m", "tests.benchmark.data.csv_reader", str(source)]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_what_is_opened_is_what_the_files_say(source):
    done = prepare_csv(source)
    assert not done.skipped
    data = open_dataset("csv")
    rows = pl.read_csv(source / "events.csv").with_row_index()
    users = rows["user"].unique(maintain_order=True).to_list()
    assert list(data.users.external_ids) == [str(user) for user in users]
    assert list(data.catalog.items.external_ids) == [str(n) for n in range(1, 8)]
    assert list(data.catalog.texts) == [
        "",
        "1",
        "Item 1",
        "Item 2",
        "Item 3",
        "5",
        "Item 5",
        "Item 6",
    ]
    for place, user in enumerate(users):
        mine = rows.filter(pl.col("user") == user).sort("timestamp", "index")
        events = slice(data.events.indptr[place], data.events.indptr[place + 1])
        assert data.events.items[events].tolist() == mine["item"].to_list()
        assert data.events.columns["rating"][events].tolist() == mine["rating"].to_list()
        assert data.events.timestamps[events].tolist() == mine["timestamp"].to_list()
        assert list(data.events.written["text"][events]) == mine["text"].fill_null("").to_list()
    assert data.label_feature == "tags"
    assert data.notes == ("made up",)
    assert data.broken == {"broken lines": 2, "items without a title": 2}
    assert (data.licence, data.citation) == ("ours", "us")
    assert data.facts["events"] == len(rows)


def test_the_fingerprint_does_not_depend_on_being_stored(source):
    manifest = prepare_csv(source).manifest
    data = open_dataset("csv")
    assert data.fingerprint == manifest.fingerprint
    assert fingerprint(data.catalog, data.events, data.users.external_ids) == data.fingerprint
    assert prepare_csv(source, force=True).manifest.fingerprint == data.fingerprint
    assert prepare_csv(source, "other").manifest.fingerprint == data.fingerprint


def test_the_manifest_says_where_everything_came_from(source, tmp_path):
    prepare_csv(source)
    text = (dataset_folder("csv") / "manifest.json").read_text()
    said = json.loads(text)
    assert [file["name"] for file in said["source_files"]] == ["events.csv", "items.csv"]
    assert said["source_files"][1]["bytes"] == (source / "items.csv").stat().st_size
    assert said["settings"]["minimum_history"] == 1
    assert [feature["name"] for feature in said["schema"]] == ["item", "rating", "tags", "gap"]
    assert str(tmp_path) not in text


def test_nothing_is_done_where_nothing_changed(source):
    prepare_csv(source)
    before = whole_tree()
    again = prepare_csv(source)
    assert again.skipped
    assert again.manifest == read_manifest("csv")
    assert whole_tree() == before
    assert calls(source) == 1
    assert not prepare_csv(source, force=True).skipped
    assert calls(source) == 2


def test_a_file_that_is_not_read_may_change_but_not_come_or_go(source):
    (source / "notes.txt").write_text("a")
    prepare_csv(source)
    (source / "notes.txt").write_text("b, and longer")
    assert prepare_csv(source).skipped
    (source / "notes.txt").unlink()
    assert not prepare_csv(source).skipped


def test_every_file_counts_where_a_reader_says_nothing(source, monkeypatch):
    monkeypatch.setattr(csv_reader, "note_read", lambda path: None)
    (source / "notes.txt").write_text("a")
    prepare_csv(source)
    names = [file.name for file in read_manifest("csv").source_files]
    assert names == ["events.csv", "items.csv", "notes.txt"]
    (source / "notes.txt").write_text("b")
    assert not prepare_csv(source).skipped


def test_a_copy_of_the_same_files_is_no_change(source):
    prepare_csv(source)
    for path in source.iterdir():
        os.utime(path, ns=(1, 1))
    assert prepare_csv(source).skipped
    assert prepare_csv(source.rename(source.with_name("moved"))).skipped


def _append(path: Path) -> None:
    with path.open("a") as file:
        file.write("500,1,3,1000000005,new\n")


CHANGES = {
    "a longer file": lambda source, _: _append(source / "events.csv"),
    "the same size": lambda source, _: (source / "items.csv").write_bytes(
        (source / "items.csv").read_bytes().replace(b"Item 1", b"Item A")
    ),
    "a new file": lambda source, _: (source / "more.csv").write_text("x"),
    "other code": lambda _, patch: patch.setattr(prepare, "hash_code", lambda entry: "other"),
    "a lost array": lambda *_: next(dataset_folder("csv").rglob("*.npy")).unlink(),
    "a cut table": lambda *_: os.truncate(dataset_folder("csv") / "items.parquet", 10),
    "no manifest": lambda *_: (dataset_folder("csv") / "manifest.json").unlink(),
    "a bad manifest": lambda *_: (dataset_folder("csv") / "manifest.json").write_text("{"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changed_is_prepared_again(source, monkeypatch, change):
    prepare_csv(source)
    change(source, monkeypatch)
    assert not prepare_csv(source).skipped
    assert prepare_csv(source).skipped
    assert open_dataset("csv").fingerprint == read_manifest("csv").fingerprint


def test_other_settings_are_a_change(source):
    prepare_csv(source)
    settings = PrepareSettings(minimum_history=4)
    assert not prepare.prepare("csv", ENTRY, source, settings).skipped
    assert prepare.prepare("csv", ENTRY, source, settings).skipped
    assert open_dataset("csv").events.lengths.min() >= 4


class Stop(BaseException):
    """As Ctrl-C, but nobody else's."""


def _fail_at(monkeypatch, step: int, error: BaseException) -> list[int]:
    """Makes one of the steps of writing and of moving fail. Returns how many are left till then."""
    left = [step]

    def failing(function):
        def called(*arguments, **named):
            left[0] -= 1
            if left[0] == 0:
                raise error
            return function(*arguments, **named)

        return called

    for owner, attribute in (
        (prepare, "apply_filters"),
        (prepare, "build_dataset"),
        (store, "_write"),
        (store, "sync"),
        (pl.DataFrame, "write_parquet"),
        (Path, "write_text"),
        (in_place, "put_in_place"),
        (Path, "rename"),
    ):
        monkeypatch.setattr(owner, attribute, failing(getattr(owner, attribute)))
    return left


def _steps(source: Path) -> int:
    """How many steps `_fail_at` counts."""
    with pytest.MonkeyPatch.context() as patch:
        left = _fail_at(patch, 1000, Stop())
        prepare_csv(source, "csv", force=True)
    return 1000 - left[0]


def test_an_interrupt_at_any_moment_leaves_nothing(source):
    steps = _steps(source)
    shutil.rmtree(home.datasets_folder())
    for step in range(1, steps + 1):
        with pytest.MonkeyPatch.context() as patch:
            _fail_at(patch, step, Stop())
            with pytest.raises(Stop):
                prepare_csv(source)
        assert whole_tree() == {}, step
        assert not dataset_folder("csv").exists()
    assert not prepare_csv(source).skipped


def test_an_interrupt_at_any_moment_leaves_what_was_there(source):
    steps = _steps(source)
    prepare_csv(source, force=True)
    before = whole_tree()
    _append(source / "events.csv")
    for step in range(1, steps + 2):  # there is one thing more to move now
        with pytest.MonkeyPatch.context() as patch:
            _fail_at(patch, step, Stop())
            with pytest.raises(Stop):
                prepare_csv(source)
        assert whole_tree() == before, step
    assert not prepare_csv(source).skipped
    assert "500" in list(open_dataset("csv").users.external_ids)


def test_a_killed_process_leaves_nothing_that_opens(source):
    with elsewhere(source, "kill-before-array", 4) as process:
        assert process.wait() == -9
    assert not dataset_folder("csv").exists()
    assert read_manifest("csv") is None
    assert not prepare_csv(source).skipped
    assert all(name.startswith("csv/") for name in whole_tree())


def test_what_was_there_comes_back_after_a_kill_between_two_moves(source):
    before = prepare_csv(source).manifest
    with elsewhere(source, "kill-between-renames", "force") as process:
        assert process.wait() == -9
    assert read_manifest("csv") is None
    after = prepare_csv(source)
    assert after.skipped
    assert after.manifest == before
    assert all(name.startswith("csv/") for name in whole_tree())


def test_a_full_disk_is_told_and_leaves_nothing(source):
    steps = _steps(source)
    shutil.rmtree(home.datasets_folder())
    for step in range(3, steps + 1):  # after what reads
        with pytest.MonkeyPatch.context() as patch:
            _fail_at(patch, step, OSError(errno.ENOSPC, "No space left on device"))
            with pytest.raises(RunError, match=r"no room.*USERLLM_BENCH_HOME") as caught:
                prepare_csv(source)
        assert "\n" not in str(caught.value)
        assert whole_tree() == {}


def test_a_full_disk_where_polars_writes(source, monkeypatch):
    def full(*_, **__):
        raise pl.exceptions.ComputeError("No space left on device (os error 28)")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(RunError, match="no room"):
        prepare_csv(source)
    assert whole_tree() == {}


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of a process")
@pytest.mark.parametrize("limit", [150, 1500])
def test_a_file_that_may_not_grow(source, limit):
    """The system itself refuses, at one file or another."""
    with elsewhere(source, "limit", limit) as process:
        _, errors = process.communicate()
    assert process.returncode == 1
    assert "RunError: there is no room to prepare" in errors
    assert not dataset_folder("csv").exists()
    assert whole_tree() == {}


def test_two_at_once_prepare_once(source, monkeypatch, capsys):
    monkeypatch.setenv("CSV_READER_SECONDS", "0.5")
    with ThreadPoolExecutor(2) as both:  # the lock is that of a file: threads are like processes
        done = list(both.map(prepare_csv, [source, source]))
    assert sorted(one.skipped for one in done) == [False, True]
    assert done[0].manifest == done[1].manifest
    assert capsys.readouterr().err.count("waiting for it") == 1
    assert calls(source) == 1


def test_who_has_opened_it_reads_on_while_it_is_replaced(source):
    prepare_csv(source)
    old = open_dataset("csv")
    _append(source / "events.csv")
    prepare_csv(source)
    assert old.events.num_events + 1 == open_dataset("csv").events.num_events
    assert fingerprint(old.catalog, old.events, old.users.external_ids) == old.fingerprint


def test_it_opens_anew_where_it_was_replaced_in_between(source, monkeypatch):
    prepare_csv(source)
    opened = store._open

    def replaced(name, manifest):
        monkeypatch.setattr(store, "_open", opened)
        _append(source / "events.csv")
        prepare_csv(source)
        return opened(name, manifest)

    monkeypatch.setattr(store, "_open", replaced)
    data = open_dataset("csv")
    assert fingerprint(data.catalog, data.events, data.users.external_ids) == data.fingerprint
    assert data.fingerprint == read_manifest("csv").fingerprint


def _damage(edit):
    def change(folder: Path) -> None:
        path = folder / "manifest.json"
        said = json.loads(path.read_text())
        edit(said)
        path.write_text(json.dumps(said))

    return change


DAMAGE = {
    "no manifest": lambda folder: (folder / "manifest.json").write_text("{}"),
    "cut": lambda folder: os.truncate(folder / "manifest.json", 100),
    "binary": lambda folder: (folder / "manifest.json").write_bytes(b"\xff\x00"),
    "a list": lambda folder: (folder / "manifest.json").write_text("[1]"),
    "an older version": _damage(lambda said: said.update(format_version=0)),
    "a newer version": _damage(lambda said: said.update(format_version=99, fingerprint=None)),
    "another name": _damage(lambda said: said.update(name="other")),
    "a wrong type": _damage(lambda said: said.update(facts=3)),
    "a missing field": _damage(lambda said: said.pop("counts")),
    "a strange kind": _damage(lambda said: said["schema"][1].update(kind="what")),
    "a strange feature": _damage(lambda said: said["schema"][1].update(strange=1)),
    "a renamed feature": _damage(lambda said: said["schema"][1].update(name="stars")),
    "other items": _damage(lambda said: said["schema"][0].update(cardinality=3)),
    "a cut array": lambda folder: os.truncate(folder / "arrays" / "timestamps.npy", 200),
    "a lost array": lambda folder: (folder / "arrays" / "indptr.npy").unlink(),
    "a swapped array": lambda folder: (folder / "arrays" / "indptr.npy").write_bytes(
        b"x" * (folder / "arrays" / "indptr.npy").stat().st_size
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_told_in_one_line_and_mended_by_preparing(source, damage):
    prepare_csv(source)
    damage(dataset_folder("csv"))
    with pytest.raises(UserError, match=r"'csv' cannot be opened.*data prepare csv") as caught:
        open_dataset("csv")
    assert "\n" not in str(caught.value)
    prepare_csv(source, force=True)
    assert open_dataset("csv").events.num_users == 12


def test_files_that_change_while_they_are_read(source, monkeypatch):
    filters = prepare.sources.files_read
    monkeypatch.setattr(
        prepare.sources, "files_read", lambda: (_append(source / "events.csv"), filters())[1]
    )
    with pytest.raises(RunError, match=r"events\.csv changed while it was read"):
        prepare_csv(source)
    assert whole_tree() == {}
