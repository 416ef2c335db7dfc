from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmark.cli import main
from benchmark.data.store import seal as sealing
from benchmark.data.store.manifest import dataset_folder
from benchmark.errors import RunError
from benchmark.records.results import find_records
from benchmark.tuning.study import Study
from tests.benchmark.survival.bench import PREPARED, SASREC, prepare, starter, tables_of
from tests.fakes import Fake, Silent


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    prepare()
    own = starter(tables_of("sasrec"), tmp_path / "out")
    return lambda methods="alpha", sets=(), **options: own(
        methods, sets, dataset=PREPARED, **options
    )


def alter() -> None:
    """Changes one item of one event, and nothing of the file's size."""
    path = next((dataset_folder(PREPARED) / "arrays").glob("feature-00-*.npy"))
    array = np.load(path, mmap_mode="r+")
    array[3] = array[3] % 40 + 1
    array.flush()
    later = os.stat(path).st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))


def hashes(out: Path) -> set[str]:
    return {json.loads(p.read_text())["dataset"]["fingerprint"] for p in find_records([out])}


CHANGES = {
    "prepared anew": lambda: prepare(seed=8),
    "altered": alter,
    "gone": lambda: os.rename(dataset_folder(PREPARED), dataset_folder("elsewhere")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_data_that_change_under_a_run_end_it(start, tmp_path, monkeypatch, change) -> None:
    fit = Fake.fit

    def change_while_fitting(self, data, context):
        if context.seed == 1:
            CHANGES[change]()
        return fit(self, data, context)

    monkeypatch.setattr(Fake, "fit", change_while_fitting)
    rows = start("alpha", seeds="0,1,2")
    assert rows[0].record is not None
    assert f"data set {PREPARED!r} changed on the disk" in rows[1].error
    assert "\n" not in rows[1].error
    assert rows[2].error.startswith("not run: ")
    assert hashes(tmp_path / "out") == {rows[0].record.dataset.fingerprint}


def test_a_change_between_cells_is_found_before_anything_is_fitted(
    start, tmp_path, monkeypatch
) -> None:
    finish = Silent.finish

    def change_when_done(self, text):
        finish(self, text)
        prepare(seed=8)

    monkeypatch.setattr(Silent, "finish", change_when_done)
    log = tmp_path / "fits"
    rows = start("alpha", [f"alpha.log={log}"], seeds="0,1")
    assert rows[0].record is not None
    assert "fingerprint" in rows[1].error
    assert len(log.read_text().splitlines()) == 1


def test_the_same_data_prepared_again_change_nothing(start, monkeypatch) -> None:
    fit = Fake.fit

    def prepare_while_fitting(self, data, context):
        prepare()
        return fit(self, data, context)

    monkeypatch.setattr(Fake, "fit", prepare_while_fitting)
    assert all(row.record for row in start("alpha", seeds="0,1"))


def test_nothing_is_hashed_where_nothing_was_touched(start, monkeypatch) -> None:
    monkeypatch.setattr(sealing.Seal, "_hash", lambda self: 1 / 0)
    assert all(row.record for row in start("alpha", seeds="0,1"))


def test_between_two_calls_a_checkpoint_of_other_data_is_left_alone(
    start, tmp_path, monkeypatch
) -> None:
    def stop(self, epoch, loss=None, value=None):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Silent, "update", stop)
        with pytest.raises(KeyboardInterrupt):
            start("sasrec", SASREC)
    (checkpoint,) = (tmp_path / "out").rglob("*.pt")
    before = checkpoint.read_bytes()
    alter()
    with pytest.raises(RunError, match="hold other data"):
        start("sasrec", SASREC)
    prepare(seed=8)
    row = start("sasrec", SASREC)[0]
    assert row.record is not None
    assert not any("goes on from" in line for line in row.record.fit.notes)
    assert checkpoint.read_bytes() == before  # of another cell, by its hash
    prepare()
    monkeypatch.setattr("benchmark.runs.cell.discard_unfinished", lambda cell: None)
    assert start("sasrec", SASREC)[0].record is not None


def test_the_command_line_says_one_line(tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    prepare()
    alter()
    command = f"run --task next_item --dataset {PREPARED} --methods alpha --out {tmp_path / 'out'}"
    assert main(command.split(), tables_of()) == 1
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith(f"error: the data set {PREPARED!r} changed on the disk")
    assert "prepare it again" in line


@pytest.mark.parametrize("when", ["in a trial", "between two"])
def test_a_search_is_about_one_set_of_data(tmp_path, monkeypatch, capfd, when) -> None:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    prepare()
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "alpha.yaml").write_text("rate: {low: 1.0e-4, high: 0.1}")
    fit, add, fits = Fake.fit, Study.add, []

    def fit_and_change(self, data, context):
        fits.append(data.fingerprint)
        if len(fits) == 3 and when == "in a trial":
            prepare(seed=8)
        return fit(self, data, context)

    def add_and_change(self, suggestion, attempt):
        add(self, suggestion, attempt)
        if len(fits) == 2 and when == "between two":
            prepare(seed=8)

    monkeypatch.setattr(Fake, "fit", fit_and_change)
    monkeypatch.setattr(Study, "add", add_and_change)
    command = f"tune --method alpha --dataset {PREPARED} --trials 5 --threads 1"
    assert main(command.split(), replace(tables_of(), spaces=tmp_path / "spaces")) == 1
    line = capfd.readouterr().err.strip().splitlines()[-1]
    assert line.startswith(f"error: the data set {PREPARED!r} changed on the disk")
    assert len(set(fits)) == 1
    (written,) = Path("results/tuned").glob("*.yaml")
    assert len(yaml.safe_load(written.read_text())["tuning"]["alpha"]["history"]) == 2
