import json

import numpy as np
import pytest

from benchmark.cli import main
from benchmark.records.example_files import Stored, read_by_hash, write_examples
from tests.benchmark.evidence.rows import finished
from tests.benchmark.reporting.runs import write_run

USERS = 400


@pytest.fixture
def runs(tmp_path):
    rng = np.random.default_rng(0)
    about = {"gap_seconds": rng.choice([0, 60], USERS), "target_rank": rng.integers(1, 9, USERS)}
    for seed in (0, 1):
        finished(tmp_path, "alpha", rng.random(USERS) < 0.5, seed, columns=about)
        finished(tmp_path, "beta", rng.random(USERS) < 0.2, seed, columns=about)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "record.json").write_text('{"schema_version": 4, "met')
    return tmp_path


def test_a_broken_record_beside_them_is_left_out(runs, capsys):
    assert main(["compare", str(runs), str(runs), "--a", "alpha", "--b", "beta"]) == 0
    told = capsys.readouterr()
    assert "McNemar" in told.out
    assert told.err.splitlines()[0].startswith("left out: ")


def test_two_methods_of_one_folder(runs, capsys):
    assert main(["compare", str(runs), str(runs), "--a", "alpha", "--b", "beta"]) == 0
    told = capsys.readouterr().out
    for wanted in ("A: alpha, seeds 0, 1", "better", "McNemar within a seed", "tied", "rankings"):
        assert wanted in told
    assert main(["compare", str(runs), str(runs), "--a", "alpha", "--b", "beta", "--json"]) == 0
    (pair,) = json.loads(capsys.readouterr().out)["pairs"]
    (own,) = pair["comparisons"]
    assert own["verdict"] == "better"
    assert own["users"] == USERS
    assert own["difference"]["low"] < own["difference"]["value"] < own["difference"]["high"]
    assert {line["slicing"] for line in pair["slices"]} == {
        "time since the event before", "timestamp",
    }  # fmt: skip


def test_single_cells(runs, capsys):
    assert main(["compare", str(runs / "alpha-s0"), str(runs / "beta-s1"), "--no-slices"]) == 0
    told = capsys.readouterr().out
    assert "alpha: one seed; intervals are over users" in told
    assert "same second" not in told
    assert main(["compare", str(runs / "alpha-s0"), str(runs / "alpha-s1")]) == 0  # seeds
    told = capsys.readouterr().out
    assert "A: alpha (A, preset quick), seeds 0" in told
    assert "B: alpha (B, preset quick), seeds 1" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{}", "{}"], "holds alpha, beta: name one by --a"),
        (["{}", "{}", "--a", "alpah", "--b", "beta"], "did you mean 'alpha'"),
        (["{}", "{}", "--a", "alpha", "--b", "alpha"], "alpha stands on both sides"),
        (["{}/alpha-s0", "{}", "--b", "alpha"], "alpha stands on both sides"),
        (["{}/alpha-s0", "{}/beta-s0", "--metric", "recal@1"], "did you mean 'recall@1'"),
        (["{}/alpha-s0", "{}/beta-s0", "--margin", "5"], "--margin 5: it must be above 0"),
        (["{}/alpha-s0", "{}/nowhere"], "there is no folder"),
        (["{}/alpha-s0", "{}/broken"], "no record that can be read"),
    ],
)
def test_wrong_input(runs, capsys, arguments, told):
    assert main(["compare", *(own.format(runs) for own in arguments)]) == 2
    *left_out, line = capsys.readouterr().err.splitlines()
    assert all(own.startswith("left out: ") for own in left_out)
    assert told in line


def test_a_record_that_its_examples_contradict_is_refused(tmp_path, capsys):
    for method in ("alpha", "beta"):
        write_run(tmp_path, method, 0.3)
    (record,) = tmp_path.glob("*beta*/record.json")
    told = json.loads(record.read_text())
    told["metrics"]["recall@1"] = 0.9
    record.write_text(json.dumps(told))
    assert main(["compare", str(tmp_path), str(tmp_path), "--a", "alpha", "--b", "beta"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "beta: its record says recall@1 0.9, the examples beside it 0.29" in line


def test_seeds_of_unlike_settings_are_said(tmp_path, capsys):
    """Nobody set anything: the preset was another when the second seed was run."""
    for seed, patience in ((0, 4), (1, 0)):
        write_run(tmp_path, "alpha", 0.3, seed)
        record = write_run(tmp_path, "beta", 0.3, seed)
        (path,) = tmp_path.glob(f"*beta-{seed}*/record.json")
        settings = {"fit": {"patience": patience}, "layers": 2, "new": 1} | (
            {"only_here": 3} if seed else {}
        )
        method = record.method.model_copy(update={"settings": settings})
        path.write_text(record.model_copy(update={"method": method}).model_dump_json())
    assert main(["compare", str(tmp_path), str(tmp_path), "--a", "alpha", "--b", "beta"]) == 0
    told = capsys.readouterr().out
    assert "beta: its seeds had different settings: fit.patience 4 (seed 0), 0 (seed 1)" in told
    assert "alpha: its seeds" not in told
    assert "only_here" not in told


def test_a_run_is_compared_with_what_is_published(tmp_path, capsys):
    """What was published has hashes in place of users."""
    for method in ("alpha", "beta"):
        record = write_run(tmp_path, method, 0.3)
    (path,) = tmp_path.glob("*beta*/record.json")
    by_hash = read_by_hash(path, record.dataset.fingerprint)
    write_examples(path.parent, Stored(by_hash.sample(fraction=1.0, seed=1), compact=True))
    where = ["compare", str(tmp_path), str(tmp_path), "--a", "alpha", "--b", "beta"]
    assert main([*where, "--metric", "recall@1", "--json"]) == 0
    (pair,) = json.loads(capsys.readouterr().out)["pairs"]
    (found,) = pair["comparisons"]
    assert found["users"] == record.examples
    assert found["difference"]["low"] == found["difference"]["high"] == 0.0


def test_one_method_with_two_settings_is_named_with_them(tmp_path, capsys):
    for rate, digit, changes in ((0.4, "a", {}), (0.2, "b", {"loss": "token"})):
        write_run(
            tmp_path, "user_llm", rate, method_changes=changes, config_hash=64 * digit
        )  # fmt: skip
    where = ["compare", str(tmp_path), str(tmp_path), "--a", "user_llm (loss=token)", "--b"]
    assert main([*where, "user_llm (as is)"]) == 0
    assert "A: user_llm (loss=token), seed" in capsys.readouterr().out
    assert main([*where, "user_llm"]) == 0  # the plain name is the row that nobody changed
    assert "B: user_llm (as is), seed" in capsys.readouterr().out
    assert main([*where, "user_llm (loss=item)"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "holds no user_llm (loss=item), but user_llm (as is); user_llm (loss=token)" in line


def test_all_that_is_unclear_is_named_at_once(tmp_path, capsys):
    for number, (method, width) in enumerate(
        (method, width) for method in ("alpha", "beta") for width in (1, 2)
    ):
        changes = {"width": width}
        write_run(tmp_path, method, 0.3, method_changes=changes, config_hash=64 * str(number))
    assert main(["compare", str(tmp_path), str(tmp_path), "--a", "alpha", "--b", "beta"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "alpha (width=1); alpha (width=2); name one by --a" in line
    assert "beta (width=1); beta (width=2); name one by --b" in line


def test_what_is_unclear_of_one_task_hides_no_other(tmp_path, capsys):
    """README's commands leave rows as they are, and rows of another task with other stages."""
    for method in ("alpha", "beta"):
        finished(tmp_path / "one", method, np.ones(20))
        for shared in ("a", "b"):
            row = finished(tmp_path / "two" / shared, method, np.zeros(20))
            protocol = row.record.protocol.model_copy(update={"shared_with": (shared,)})
            finished(tmp_path / "two" / shared, method, np.zeros(20), protocol=protocol)
        task = row.record.task.model_copy(update={"name": "other"})
        finished(tmp_path / "three", method, np.ones(20), task=task)
    where = str(tmp_path)
    assert main(["compare", where, where, "--a", "alpha", "--b", "beta", "--json"]) == 0
    pairs = json.loads(capsys.readouterr().out)["pairs"]
    assert sorted(pair["task"] for pair in pairs) == ["next_item", "other"]
    assert all(own["first_mean"] == 1.0 for pair in pairs for own in pair["comparisons"])


def test_seeds_of_several_devices_are_a_row_of_their_own(tmp_path, capsys):
    """A second run with --devices 2 neither replaces seeds nor is averaged with them."""
    for seed in (0, 1):
        finished(tmp_path, "alpha", np.ones(20), seed)
        finished(tmp_path, "beta", np.zeros(20), seed)
    spread = {"devices": 2, "distributed": "ddp"}
    finished(tmp_path / "two", "alpha", np.zeros(20), host=spread, created="2026-01-02")
    where = ["compare", str(tmp_path), str(tmp_path), "--b", "beta", "--json", "--a"]
    for name, seeds in (("alpha", [1.0, 1.0]), ("alpha (devices=2)", [0.0])):
        assert main([*where, name]) == 0
        (pair,) = json.loads(capsys.readouterr().out)["pairs"]
        assert pair["comparisons"][0]["first_seeds"] == seeds
    assert any("on different devices or threads: devices 2, 1" in note for note in pair["notes"])


def test_hashes_are_shown_short(tmp_path, capsys):
    one = finished(tmp_path / "one", "alpha", np.ones(20))
    dataset = one.record.dataset.model_copy(update={"target_hash": "ab" * 32})
    finished(tmp_path / "two", "beta", np.ones(20), dataset=dataset)
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "two")]) == 2
    assert "target hash (t and abababababab)" in capsys.readouterr().err


def test_rows_that_were_asked_other_things_are_refused(tmp_path, capsys):
    one = finished(tmp_path / "one", "alpha", np.ones(20))
    protocol = one.record.protocol.model_copy(update={"split": "global_time"})
    dataset = one.record.dataset.model_copy(update={"fingerprint": "other"})
    finished(tmp_path / "two", "beta", np.ones(20), protocol=protocol, dataset=dataset)
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "two")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "they differ in data hash (f and other), split (last and global_time)" in line


def test_other_budgets_are_compared_and_said(tmp_path, capsys):
    finished(tmp_path / "one", "alpha", np.ones(20))
    finished(tmp_path / "two", "alpha", np.zeros(20), preset="full")
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "two")]) == 0
    assert "budgets differ: presets quick, full" in capsys.readouterr().out


def test_budgets_are_no_seeds(tmp_path, capsys):
    for seed in (0, 1):
        finished(tmp_path / "one", "alpha", np.ones(20), seed)
    finished(tmp_path / "one/full", "alpha", np.zeros(20), preset="full")
    finished(tmp_path / "two", "beta", np.zeros(20))
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "two")]) == 2
    assert "several budgets (quick, full)" in capsys.readouterr().err


def test_what_only_one_was_asked_is_said(tmp_path, capsys):
    for name in ("alpha", "beta"):
        row = finished(tmp_path / name, name, np.ones(20))
        task = row.record.task.model_copy(update={"name": "other", "version": name})
        finished(tmp_path / name / "more", name, np.ones(20), task=task)
    assert main(["compare", str(tmp_path / "alpha"), str(tmp_path / "beta"), "--no-slices"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "not compared" in line]
    assert len(told) == 2
    assert "nearest: differs in task version (alpha and beta)" in told[0]


def test_of_a_single_user_nothing_is_detectable(tmp_path, capsys):
    finished(tmp_path, "alpha", np.array([True]))
    finished(tmp_path, "beta", np.array([False]))
    assert main(["compare", str(tmp_path / "alpha-s0"), str(tmp_path / "beta-s0")]) == 0
    told = capsys.readouterr().out
    assert "nan" not in told
    assert told.split("undecided")[1].split()[0] == "n/a"
