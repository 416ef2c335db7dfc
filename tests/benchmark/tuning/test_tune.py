"""`userllm-bench tune` over fakes: what is tried and kept, what goes on and what is refused."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from benchmark.records.results import load_records
from benchmark.tuning import trials
from tests.benchmark.tuning.conftest import FILE, TUNE
from tests.benchmark.tuning.learner import SPACE, noisy_tables


def tried(row):
    """A history without what depends on the clock or on where records lie."""
    kept = ("number", "state", "value", "settings", "reason")
    return [{name: own.get(name) for name in kept} for own in row["history"]]


# What is found.


def test_a_search_begins_as_it_is_and_ends_no_worse(bench, tmp_path):
    row = bench.rows("--method", "noisy", "--trials", "12")["noisy"]
    assert row["history"][0]["settings"] == {
        "noise": 4.0, "rate": 1e-3, "epochs": 2.0, "fusion.every": 3,
    }  # fmt: skip
    values = [own["value"] for own in row["history"]]
    assert (row["as_is"], row["best"]) == (values[0], max(values))
    assert row["best"] > row["as_is"]
    assert row["settings"]["noise"] < 4
    records = load_records([tmp_path / "results" / "tuned"])
    assert {own.record.config_hash for own in records} == {
        own["config_hash"] for own in row["history"]
    }
    assert {own.record.protocol.part for own in records} == {"validation"}
    assert all(own.record.method.changes.keys() <= {*SPACE} for own in records)


def test_the_first_trial_is_the_cell_that_nobody_tuned(bench, tmp_path):
    row = bench.rows("--method", "noisy", "--trials", "1")["noisy"]
    _, out, _ = bench(
        "run", "--task", "next_item", *TUNE[1:], "--methods", "noisy", "--part", "validation",
        "--json",
    )  # fmt: skip
    (plain,) = json.loads(out)["rows"]
    assert row["history"][0]["config_hash"] == plain["config_hash"]
    assert row["settings"] == {}
    assert "noisy" not in {*bench.file()} - {"tuning"}


def test_the_file_is_a_configuration_that_makes_the_best_cell_of_each_method(bench):
    """Also of rows that share a section, and of what a --set changed beside the search."""
    given = ("--set", "noisy.name=mine")
    rows = bench.rows("--method", "noisy,noisy_flat", "--trials", "8", *given)
    assert bench.rows("--method", "other", "--trials", "8").keys() == {"other"}
    file = bench.file()
    assert file["noisy"]["name"] == "mine"
    assert file["noisy_flat"]["name"] == "mine"
    assert "fusion" not in file["noisy_flat"]
    assert set(file) - {"tuning"} >= {"noisy", "noisy_flat", "task", "dataset", "preset"}
    _, out, _ = bench(
        "run", "--config", FILE, "--methods", "noisy,noisy_flat,other", "--part", "validation",
        "--threads", "1", "--json",
    )  # fmt: skip
    hashes = {row["method"]: row["config_hash"] for row in json.loads(out)["rows"]}
    rows |= bench.rows("--method", "other", "--trials", "8")
    for name, row in rows.items():
        assert hashes[name] == row["history"][row["trial"]]["config_hash"], name


def test_the_file_says_how_and_at_what_cost(bench):
    row = bench.rows("--method", "other", "--trials", "3", "--seconds", "50", "--seed", "5")[
        "other"
    ]
    entry = bench.file()["tuning"]["other"]
    assert entry["history"] == row["history"]
    assert entry["seconds"] == pytest.approx(sum(own["seconds"] for own in row["history"]))
    assert (entry["trials"], entry["failed"], entry["limit_seconds"]) == (3, 0, 50.0)
    assert entry["sampler"]["seed"] == entry["seed"] == 5
    assert (entry["part"], entry["preset"], entry["split"]) == ("validation", "quick", "last")
    assert entry["metric"] == "recall@10"
    assert {*entry["space"]} == {*SPACE}
    assert {"dataset_hash", "target_hash", "version", "git", "host", "command"} <= {*entry}
    for own in entry["history"]:
        assert len(own["config_hash"]) == 64
    lines = [line for line in Path(FILE).read_text().splitlines() if "{number:" in line]
    assert len(lines) == 3  # a line a trial


def test_tuning_a_method_leaves_the_others_as_they_are(bench):
    bench.rows("--method", "noisy", "--trials", "4")
    before = bench.file()
    bench.rows("--method", "other", "--trials", "4")
    after = bench.file()
    assert after["tuning"]["noisy"] == before["tuning"]["noisy"]
    assert after.get("noisy") == before.get("noisy")
    assert "other" in after["tuning"]


def test_nothing_of_the_test_part_is_looked_at(bench, monkeypatch, tmp_path):
    """Other test targets change neither what is tried nor what comes out."""
    found = bench.rows("--method", "noisy", "--trials", "6")["noisy"]
    other = bench.rows("--method", "noisy", "--trials", "6", "--dataset", "altered")["noisy"]
    assert tried(found) == tried(other)
    assert (found["best"], found["settings"]) == (other["best"], other["settings"])
    files = (bench.file(), yaml.safe_load(Path(FILE.replace("world-", "altered-")).read_text()))
    hashes = [file["tuning"]["noisy"]["target_hash"] for file in files]
    assert hashes[0] != hashes[1]  # they do differ
    assert bench(*TUNE, "--method", "noisy", "--part", "test")[0] == 2


# Limits.


def test_no_trial_begins_after_the_clock_and_every_method_has_the_same(bench):
    rows = bench.rows(
        "--method", "noisy,other", "--trials", "50", "--seconds", "0.3",
        "--set", "noisy.wait=0.2", "--set", "other.wait=0.11",
    )  # fmt: skip
    for row in rows.values():
        seconds = [own["seconds"] for own in row["history"]]
        assert sum(seconds[:-1]) < 0.3 <= sum(seconds)
    assert len(rows["noisy"]["history"]) <= 2 < len(rows["other"]["history"]) + 1


def test_the_first_trial_always_runs_and_a_resumed_search_gets_no_more_time(bench):
    given = ("--method", "noisy", "--seconds", "0")
    assert len(bench.rows(*given)["noisy"]["history"]) == 1
    assert len(bench.rows(*given)["noisy"]["history"]) == 1
    assert len(bench.rows("--method", "noisy", "--trials", "3")["noisy"]["history"]) == 3
    assert len(bench.rows("--method", "noisy", "--trials", "2")["noisy"]["history"]) == 3


# Going on.


def test_the_same_command_tries_nothing_twice(bench, tmp_path):
    log = tmp_path / "fits"
    given = ("--method", "noisy", "--trials", "4", "--set", f"noisy.log={log}")
    first = bench.rows(*given)["noisy"]
    text = (tmp_path / FILE).read_text()
    assert bench.rows(*given)["noisy"] == first
    assert len(log.read_text().splitlines()) == 4
    assert (tmp_path / FILE).read_text() == text
    anew = bench.rows(*given, "--force")["noisy"]
    assert tried(anew) == tried(first)
    assert len(log.read_text().splitlines()) == 4  # finished cells are not run twice


def test_an_interrupted_search_goes_on_as_if_nothing_had_happened(bench, monkeypatch, tmp_path):
    calls = []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return run(*arguments)

    run = trials.run
    given = ("--method", "noisy", "--trials", "8")
    monkeypatch.setattr(trials, "run", interrupted)
    code, _, err = bench(*TUNE, *given)
    assert code == 130
    assert "the same command goes on" in err
    assert len(bench.file()["tuning"]["noisy"]["history"]) == 3
    resumed = bench.rows(*given)["noisy"]
    monkeypatch.setattr(trials, "run", run)
    assert tried(bench.rows(*given, "--out", "whole")["noisy"]) == tried(resumed)


def test_another_protocol_is_another_search(bench, tmp_path):
    bench.rows("--method", "noisy", "--trials", "2")
    before = (tmp_path / FILE).read_text()
    for changed, said in (
        (("--preset", "smoke"), "preset (quick, now smoke)"),
        (("--seen", "include"), "seen (exclude, now include)"),
        (("--metric", "ndcg@10"), "metric (recall@10, now ndcg@10)"),
        (("--seed", "1"), "seed (0, now 1)"),
        (("--set", "noisy.rate=0.5"), "search space, settings"),
    ):
        code, out, err = bench(*TUNE, "--method", "noisy", "--trials", "3", *changed)
        assert (code, out) == (2, "")
        assert said in err.splitlines()[-1]
        assert "--force" in err.splitlines()[-1]
    assert (tmp_path / FILE).read_text() == before
    assert bench(*TUNE, "--method", "noisy", "--trials", "2", "--seed", "1", "--out", "x")[0] == 0
    assert bench(*TUNE, "--method", "noisy", "--trials", "2", "--seed", "1", "--force")[0] == 0
    assert bench.file()["tuning"]["noisy"]["seed"] == 1


def test_another_version_is_another_search(bench, monkeypatch):
    bench.rows("--method", "noisy", "--trials", "1")
    monkeypatch.setattr("benchmark.__version__", "0.0.1")
    code, _, err = bench(*TUNE, "--method", "noisy", "--trials", "2")
    assert code == 2
    assert "version (" in err


def test_settings_whose_trials_are_gone_are_not_written_over(bench, tmp_path):
    bench.rows("--method", "noisy", "--trials", "2")
    (tmp_path / "results/tuned/trials/world-next_item-noisy.journal").unlink()
    code, _, err = bench(*TUNE, "--method", "noisy", "--trials", "2")
    assert code == 2
    assert "whose trials are not here" in err


def test_a_second_call_says_that_it_waits(bench, monkeypatch, tmp_path):
    bench.rows("--method", "noisy", "--trials", "1")
    lock = tmp_path / "results/tuned/trials/.locks/world-next_item-noisy.journal.lock"
    held = threading.Event()

    def hold():
        with FileLock(lock):
            held.set()
            time.sleep(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    code, _, err = bench(*TUNE, "--method", "noisy", "--trials", "2")
    assert code == 0
    assert not thread.is_alive()
    assert "another call searches settings of noisy; waiting for it" in err


# What fails.


def test_a_trial_that_fails_does_not_end_the_search(bench, tmp_path, tables):
    space = {**SPACE, "fail": ["", "crash"]}
    tables = noisy_tables(tmp_path / "failing", noisy=space)
    code, out, _ = bench(*TUNE, "--method", "noisy", "--trials", "8", "--json", tables=tables)
    assert code == 0
    (row,) = json.loads(out)["rows"]
    failed = [own for own in row["history"] if own["state"] == "failed"]
    assert 0 < row["failed"] == len(failed) < 8
    assert row["trials"] == 8
    for own in row["history"]:
        assert (own["state"] == "failed") == (own["settings"]["fail"] == "crash")
    assert failed[0]["reason"] == "RuntimeError: it broke on two lines"
    assert "config_hash" not in failed[0]
    assert row["settings"].get("fail", "") == ""
    _, out, _ = bench(*TUNE, "--method", "noisy", "--trials", "8", tables=tables)
    assert f"noisy trial {failed[0]['number']}: failed: RuntimeError: it broke" in out


def test_a_method_of_which_every_trial_fails_has_no_settings(bench, tmp_path):
    rows = bench.rows("--method", "noisy,other", "--trials", "2", "--set", "noisy.fail=nan", code=1)
    assert rows["noisy"]["best"] is None
    assert rows["noisy"]["failed"] == 2
    assert {*bench.file()["tuning"]} == {"other"}
    _, out, _ = bench(*TUNE, "--method", "noisy", "--trials", "2", "--set", "noisy.fail=nan")
    assert "the loss of stage count is nan" in out


def test_a_full_disk_ends_the_search_and_counts_as_no_trial(bench):
    given = ("--method", "noisy", "--trials", "3", "--set", "noisy.fail=disk")
    code, _, err = bench(*TUNE, *given)
    assert code == 1
    assert "the disk is full" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_search_that_cannot_go_on_does_not_stop_the_others(bench):
    bench.rows("--method", "noisy", "--trials", "1")
    code, out, err = bench(*TUNE, "--method", "noisy,other", "--trials", "1", "--seen", "include")
    assert code == 2
    assert "noisy: " in err.splitlines()[-1]
    assert "other" in out


def test_a_method_that_is_not_installed_is_a_row_that_says_so(bench):
    rows = bench.rows("--method", "broken,other", "--trials", "1")
    assert rows["broken"]["na"] == "it needs a thing: get it"
    assert rows["other"]["trials"] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), ["--method", "noisy", "other"]),
        (("--method", "nosy"), ["unknown method 'nosy'", "did you mean 'noisy'?"]),
        (("--method", "alpha"), ["alpha has no search space", "--space", "noisy"]),
        (("--method", "noisy", "--trials", "0"), ["--trials"]),
        (("--method", "noisy", "--seconds", "-1"), ["--seconds"]),
        (("--method", "noisy", "--seconds", "inf"), ["--seconds inf"]),
        (("--method", "noisy", "--seed", "-1"), ["--seed"]),
        (("--method", "noisy", "--task", "next_item,writing"), ["one task", "next_item, writing"]),
        (
            ("--method", "noisy", "--task", "writing"),
            ["'noisy' can do none", "needs one to write texts"],
        ),
        (("--method", "noisy", "--metric", "recal@10"), ["recal@10", "did you mean 'recall@10'"]),
        (("--method", "noisy", "--set", "noisy.nose=1"), ["did you mean 'noisy.noise'?"]),
        (("--method", "noisy,other", "--space", "x.yaml"), ["--space x.yaml", "one method"]),
        (("--method", "noisy", "--space", "x.yaml"), ["'x.yaml'", "No such file"]),
        (("--method", "noisy", "--dataset", "moon"), ["unknown data set 'moon'"]),
        (("--method", "noisy", "--out", "/proc/none"), ["--out", "cannot be written"]),
        (("--method", "noisy", "--part", "test"), ["--part"]),
    ],
)
def test_wrong_input_is_one_line_and_runs_nothing(bench, tmp_path, options, said):
    code, out, err = bench(*TUNE, *options)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1, err
    for part in said:
        assert part in err
    assert not (tmp_path / "results").exists()


def test_a_file_of_somebody_else_is_left_alone(bench, tmp_path):
    (tmp_path / "results" / "tuned").mkdir(parents=True)
    (tmp_path / FILE).write_text("task: next_item\n")
    code, _, err = bench(*TUNE, "--method", "noisy", "--trials", "1")
    assert code == 2
    assert "was not made by userllm-bench tune" in err
    assert (tmp_path / FILE).read_text() == "task: next_item\n"


def test_a_table_says_what_was_found(bench, tmp_path):
    code, out, err = bench(*TUNE, "--method", "noisy", "--trials", "12", "--preset", "smoke")
    assert code == 0
    shown = ("as is", "best", "settings changed", "noise=", FILE, "validation", "mean nothing")
    for part in shown:
        assert part in out
    assert "noisy trial=0 seed 0" in err
    assert "finished: recall@10" in err
    assert "\x1b" not in out + err


def test_a_space_of_ones_own_takes_the_place_of_the_shipped(bench, tmp_path):
    (tmp_path / "mine.yaml").write_text("noise: [1.0, 2.0]")
    row = bench.rows("--method", "noisy", "--trials", "3", "--space", "mine.yaml")["noisy"]
    assert [{*own["settings"]} for own in row["history"]] == [{"noise"}] * 3
    assert row["history"][0]["settings"] == {"noise": 4.0}
    assert bench.file()["tuning"]["noisy"]["space"] == {"noise": {"choices": [1.0, 2.0]}}


def test_a_metric_can_be_named(bench):
    row = bench.rows("--method", "noisy", "--trials", "2", "--metric", "mrr@10")["noisy"]
    assert row["metric"] == bench.file()["tuning"]["noisy"]["metric"] == "mrr@10"
    records = load_records([Path("results/tuned")])
    values = {own.record.config_hash: own.record.metrics["mrr@10"] for own in records}
    assert {own["config_hash"]: own["value"] for own in row["history"]} == values
