import json
import shutil

import numpy as np
import pytest
import torch

from benchmark.cli import main
from benchmark.metrics.perplexity import perplexity
from benchmark.probing.inputs import (
    changed,
    derangement,
    drop_feature,
    empty_history,
    shuffle_order,
    swap_user,
)
from benchmark.records.results import read_record
from benchmark.schema import ITEM
from tests.fake_listener import listening_tables

TABLES = listening_tables()
INPUTS = ["swap_user", "shuffle_order", "empty_history"]


@pytest.fixture
def bench(capfd, monkeypatch, tmp_path):
    """Runs a command line over the fakes and returns code, stdout and stderr."""
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    # Figures of runs take longer than all else here, and have tests of their own.
    monkeypatch.setattr("benchmark.plotting.results.draw", lambda *_, **__: [])

    def call(*arguments, tables=TABLES):
        code = main([str(argument) for argument in arguments], tables)
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def cell(bench, tmp_path):
    """Folder of a finished cell; more options of `run` may be given."""

    def run(*arguments, method="listener"):
        code, out, err = bench(
            "run", "--task", "next_item", "--dataset", "world", "--threads", "1",
            "--methods", method, "--json", *arguments,
        )  # fmt: skip
        assert code == 0, err
        return tmp_path / json.loads(out)["rows"][0]["record"].removesuffix("/record.json")

    return run


@pytest.fixture
def probe(bench):
    """Probes without training and returns the report."""

    def call(folder, *arguments):
        code, out, err = bench("probe", folder, "--json", "--no-training", *arguments)
        assert code == 0, err
        return json.loads(out)

    return call


def histories(examples, batch_size=7, length=6):
    batches = [batch for _, batch in examples.batches(batch_size, length)]
    features = {n: torch.cat([b.features[n] for b in batches]) for n in batches[0].features}
    return features, torch.cat([batch.mask for batch in batches])


@pytest.mark.parametrize("count", [2, 3, 50])
def test_nobody_keeps_their_own_history(count):
    partner = derangement(count, seed=1)
    assert sorted(partner) == list(range(count))
    assert (partner != np.arange(count)).all()


def test_swapped_histories_are_those_of_other_users(world_split):
    examples = world_split.test
    own, _ = histories(examples)
    swapped, _ = histories(changed(examples, swap_user(examples, seed=3)))
    partner = derangement(len(examples), seed=3)
    for name, value in own.items():
        assert torch.equal(swapped[name], value[partner])


def test_what_is_asked_and_left_out_stays_that_of_the_user(world_split):
    examples = world_split.test
    for change in (swap_user(examples, 0), shuffle_order(0), empty_history, drop_feature(ITEM)):
        asked = changed(examples, change)
        assert np.array_equal(asked.targets, examples.targets)
        assert np.array_equal(asked.users, examples.users)
        assert torch.equal(asked.seen(slice(0, 9)), examples.seen(slice(0, 9)))


def test_a_shuffled_history_holds_the_same_events_in_another_order(world_split):
    examples = world_split.test
    own, mask = histories(examples)
    mixed, mixed_mask = histories(changed(examples, shuffle_order(5)))
    assert torch.equal(mask, mixed_mask)
    assert not torch.equal(own[ITEM], mixed[ITEM])

    def events(features):
        flat = [v.flatten(2) if v.ndim == 3 else v.unsqueeze(2) for v in features.values()]
        rows = torch.cat(flat, dim=2).tolist()
        return [sorted(map(tuple, row)) for row in rows]

    assert events(own) == events(mixed)
    again, _ = histories(changed(examples, shuffle_order(5)), batch_size=80)
    assert all(torch.equal(mixed[name], again[name]) for name in mixed)


def test_a_dropped_feature_leaves_the_events(world_split):
    examples = world_split.test
    own, mask = histories(examples)
    for dropped in own:
        less, less_mask = histories(changed(examples, drop_feature(dropped)))
        assert torch.equal(mask, less_mask)
        for name, value in less.items():
            assert torch.equal(value, torch.zeros_like(value) if name == dropped else own[name])


def test_an_unchanged_model_is_asked_again_with_the_records_numbers(cell, probe):
    folder = cell()
    report = probe(folder)
    record = read_record(folder / "record.json")
    assert report["reproduced"] is True
    assert {name: report["unchanged"][name] for name in record.metrics} == record.metrics
    assert report["config_hash"] == record.config_hash
    assert report["versions"]["torch"]
    assert json.loads((folder / "probe.json").read_text()) == report
    assert (folder / "probe.png").stat().st_size > 1000
    assert any("test part" in note for note in report["notes"])


def test_numbers_that_do_not_come_back_are_said(cell, probe):
    path = cell() / "record.json"
    record = json.loads(path.read_text())
    record["metrics"]["recall@10"] += 0.01
    path.write_text(json.dumps(record))
    report = probe(path, "--only", "gate_0")
    assert report["reproduced"] is False
    assert any(note.startswith("unchanged, recall@10 is 0.") for note in report["notes"])


def test_a_probe_costs_what_the_method_reads_and_nothing_else(cell, probe):
    rows = {row["probe"]: row for row in probe(cell())["rows"]}
    features = {"drop_item", "drop_rating", "drop_genres"}
    assert {*INPUTS, "gate_0", *features} <= set(rows)
    for name in (*INPUTS, "gate_0", "drop_item"):
        recall, nll = (rows[name]["metrics"][metric] for metric in ("recall@10", "nll"))
        assert recall["low"] <= recall["worse_by"] <= recall["high"]
        assert recall["low"] > 0
        assert nll["low"] > 0
    for name in features - {"drop_item"}:
        for loss in rows[name]["metrics"].values():
            assert loss["worse_by"] == loss["low"] == loss["high"] == 0


def test_drops_are_paired(cell, probe):
    report = probe(cell(), "--only", "swap_user")
    (row,) = report["rows"]
    for name, sign in (("recall@10", -1), ("nll", 1)):
        loss = row["metrics"][name]
        difference = sign * (loss["value"] - report["unchanged"][name])
        assert loss["worse_by"] == pytest.approx(difference)


def test_equal_seeds_draw_the_same(cell, probe):
    folder = cell()
    one, two = (probe(folder, "--only", "swap_user,shuffle", "--seed", s)["rows"] for s in (1, 1))
    assert one == two
    assert probe(folder, "--only", "swap_user,shuffle", "--seed", "2")["rows"] != one


def test_another_part_may_be_asked(cell, probe):
    report = probe(cell(), "--part", "validation", "--only", "gate_0")
    assert report["part"] == "validation"
    assert report["reproduced"] is None
    assert not any("test part" in note for note in report["notes"])


def test_settings_of_the_run_come_back_with_it(cell, probe):
    folder = cell("--set", "listener.fusion.kind=flat", "--set", "next_item.k=12", "--seeds", "3")
    assert probe(folder, "--only", "gate_0")["reproduced"] is True


def test_a_probe_that_breaks_is_a_row_and_the_others_go_on(cell, bench):
    folder = cell("--set", "listener.fail=ear")
    code, out, _ = bench("probe", folder, "--json", "--no-training")
    rows = {row["probe"]: row for row in json.loads(out)["rows"]}
    assert code == 1
    assert "nothing to hear" in rows["empty_history"]["error"]
    assert all(row["metrics"] for name, row in rows.items() if name != "empty_history")


def test_models_fitted_anew_are_stored_and_found_again(cell, bench, tmp_path):
    folder = cell("--set", f"listener.log={tmp_path / 'fits'}")
    for _ in range(2):
        code, out, _ = bench("probe", folder, "--json", "--only", "learn", "--out", "anew")
        assert code == 1
        nothing, badly = json.loads(out)["rows"]
        assert nothing["trained"]
        assert nothing["metrics"]["recall@10"]["low"] > 0
        assert nothing["metrics"]["nll"]["worse_by"] > 0
        assert nothing["perplexity"]["before"]["value"] == pytest.approx(np.exp(2))
        assert "nan" in badly["error"]
        record = read_record(tmp_path / nothing["record"])
        assert record.method.settings["flag"] is True
        assert record.seed == 0
        assert not (tmp_path / nothing["record"]).with_name("model").exists()
    fits = (tmp_path / "fits").read_text().splitlines()
    assert len(fits) == 1 + 1 + 2  # the run, the probe once, and the one that fails each time


def test_the_table_says_everything(cell, bench):
    code, out, err = bench("probe", cell(), "--only", "swap,gate,learn_nothing")
    assert code == 0, err
    for part in ("swap_user", "gate_0", "learn_nothing *", "+0.", " to ", "perplexity", "7.39"):
        assert part in out
    assert "test part" in out
    assert "probe.json" in out
    assert "probe.png" in out
    assert "\x1b" not in out + err


def test_a_model_is_part_of_its_cell(cell, bench):
    folder = cell()
    assert sorted(p.name for p in folder.iterdir()) == ["examples.parquet", "model", "record.json"]
    shutil.copy(folder / "record.json", folder / "model" / "stale")
    again = cell("--force")
    assert again == folder
    assert [p.name for p in (folder / "model").iterdir()] == ["w.safetensors"]


def test_keeping_a_model_or_not_is_the_same_cell(cell, bench):
    folder = cell("--no-keep-models")
    assert not (folder / "model").exists()
    code, out, err = bench("probe", folder)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "was not kept" in err
    assert "--keep-models --force" in err
    assert cell() == folder


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (("dataset", "fingerprint"), "the data of world are others now"),
        (("dataset", "target_hash"), "the targets of world are others now"),
        (("method", "settings", "epochs"), "has listener.epochs=x, which its preset"),
        (("config_hash",), "was made by another version"),
    ],
)
def test_a_run_of_other_data_or_settings_is_refused(cell, bench, change, part):
    path = cell() / "record.json"
    record = json.loads(path.read_text())
    place = record
    for key in change[:-1]:
        place = place[key]
    place[change[-1]] = record["config_hash"] = "x"
    path.write_text(json.dumps(record))
    code, out, err = bench("probe", path.parent)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert part in err


def test_wrong_input_is_one_line_and_code_2(cell, bench, tmp_path):
    folder, other = cell(), cell(method="plain")
    (tmp_path / "empty").mkdir()
    for arguments, part in (
        (["none"], "no run 'none'"),
        ([tmp_path / "empty"], "no finished cell"),
        ([folder.parent], "holds 2 runs: name one"),
        ([other], "plain does not keep its model; what can be probed: "),
        ([folder, "--only", "swap_users"], "did you mean 'swap_user'?"),
        ([folder, "--only", ","], "--only: the list is empty"),
        ([folder, "--part", "tests"], "did you mean 'test'?"),
        ([folder, "--llm", "org/model"], "leave --llm out"),
        ([], "RUN"),
    ):
        code, out, err = bench("probe", *arguments)
        assert (code, out) == (2, ""), err
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1
        assert part in lines[0]


def test_perplexity_follows_from_likelihoods():
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 9, 50)
    nll = tokens * rng.uniform(1, 3, 50)
    value, low, high = perplexity(nll, tokens)
    assert value == pytest.approx(np.exp(nll.sum() / tokens.sum()))
    assert low < value < high
    assert perplexity(np.log(5) * tokens, tokens) == pytest.approx((5, 5, 5))
    with pytest.raises(ValueError, match="at least one token"):
        perplexity(nll[:1], np.zeros(1))
    with pytest.raises(FloatingPointError):
        perplexity(nll * np.nan, tokens)
