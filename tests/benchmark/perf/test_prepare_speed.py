from __future__ import annotations

import json

import pytest

from benchmark.errors import RunError
from benchmark.perf import prepare, prepare_subjects
from benchmark.perf.prepare import Size, compare


@pytest.fixture
def here(monkeypatch):
    """Subjects run in this process, which saves a start for each."""

    def run(command, env, **_):
        with pytest.MonkeyPatch.context() as patch:
            for name in ("PREPARE_WORLD", "USERLLM_BENCH_HOME"):
                patch.setenv(name, env.get(name, ""))
            subject, source, out = command[-3:]
            costs = prepare_subjects.measure(subject, *map(prepare.Path, (source, out)))
        return prepare.subprocess.CompletedProcess(command, 0, json.dumps(costs), "")

    monkeypatch.setattr(prepare.subprocess, "run", run)


def test_all_sides_read_the_same_files_and_agree(here):
    pytest.importorskip("recbole")
    result = compare(1, Size(60, 300, 2400), Size(40, 200, 1600), runs=1)
    details = result.details
    runs = details["runs"]
    assert details["pandas_arrays_are_ours"] == {"pandas": True, "pandas_pyarrow": True}
    assert runs["ours"][0]["users"] == runs["pandas"][0]["users"] == 60
    assert runs["ours"][0]["events"] == runs["pandas"][0]["events"]
    assert runs["ours_small"][0]["users"] == runs["recbole"][0]["users"] == 40
    assert (result.ours, result.theirs) == (
        runs["ours"][0]["seconds"],
        runs["pandas"][0]["seconds"],
    )
    aims = details["aims"]
    assert aims["prepare_seconds"]["measured"] == result.ours
    assert aims["times_as_fast_as_pandas"]["measured"] == pytest.approx(result.ratio)
    assert aims["opening_seconds"]["met"]
    json.dumps(details)


def test_an_aim_is_met_on_its_own_side():
    assert prepare._met("prepare_seconds", 14.9)
    assert not prepare._met("prepare_seconds", 15.1)
    assert prepare._met("times_as_fast_as_pandas", 2.6)
    assert not prepare._met("times_as_fast_as_pandas", 2.4)


def test_a_subject_that_fails_is_told(tmp_path):
    with pytest.raises(RunError, match=r"pandas failed: FileNotFoundError.*ratings\.csv"):
        prepare._Bench(tmp_path, 1).run("pandas", tmp_path)
