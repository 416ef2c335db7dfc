"""A run takes tuned settings where its test targets did not choose them, and records say so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from benchmark.config import read_config, read_layers
from benchmark.errors import UserError
from benchmark.records.results import load_records
from benchmark.tables import default_tables
from benchmark.tuning.applied import check_tuned, tuned_of
from tests.benchmark.tuning.conftest import FILE
from tests.benchmark.tuning.learner import noisy_tables

TABLES = default_tables()
RUN = ("run", "--threads", "1", "--json", "--config", FILE)
SHARES = {
    "validation_from": None, "test_from": None, "validation_share": 0.1, "test_share": 0.1,
}  # fmt: skip


def entry(**changes):
    return {
        "settings": {"optimizer.learning_rate": 0.001},
        "dataset": "ml-100k",
        "task": "next_item",
        "split": "last",
        "split_settings": {},
        "target_hash": "t",
        "dataset_hash": "f",
        "metric": "recall@10",
        "trials": 12,
        "failed": 1,
        "seconds": 300.0,
        "limit_seconds": 600.0,
        "version": "0",
        "git": {"commit": "c", "dirty": False},
        "history": [],
        **changes,
    }


@pytest.fixture
def ask(tmp_path):
    """Writes a file that says how methods were tuned, and reads a run with it."""

    def call(entries, **options):
        path = tmp_path / "tuned.yaml"
        sections = {"sasrec": {"optimizer": {"learning_rate": 0.001}}}
        path.write_text(yaml.safe_dump({"task": "next_item", **sections, "tuning": entries}))
        config = read_config(path, options, TABLES)
        return config, read_layers(config, TABLES), TABLES

    return call


def refusal(asked, targets=None):
    with pytest.raises(UserError) as caught:
        check_tuned(*asked, targets)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("tuned.yaml: settings of ")
    assert "give a file that userllm-bench tune made" in text
    return text


def test_another_split_of_the_same_data_is_refused(ask):
    text = refusal(ask({"sasrec": entry()}, methods="sasrec", split="global_time"))
    for said in ("sasrec", "ml-100k with --split last", "--split global_time"):
        assert said in text
    time = entry(split="global_time", split_settings=SHARES)
    assert "with --split last" in refusal(ask({"sasrec": time}, methods="sasrec"))


def test_the_same_split_is_taken(ask):
    assert check_tuned(*ask({"sasrec": entry()}, methods="sasrec")) == []
    time = entry(split="global_time", split_settings=SHARES)
    asked = ask({"sasrec": time}, methods="sasrec", split="global_time")
    assert check_tuned(*asked, {"next_item": "t"}) == []


def test_the_same_split_with_other_settings_is_refused(ask):
    time = entry(split="global_time", split_settings={**SHARES, "test_share": 0.2})
    text = refusal(ask({"sasrec": time}, methods="sasrec", split="global_time"))
    assert "these settings of --split global_time" in text


def test_other_targets_are_refused_once_they_are_known(ask):
    asked = ask({"sasrec": entry()}, methods="sasrec")
    assert check_tuned(*asked, {"next_item": "t"}) == []
    assert "the targets of next_item" in refusal(asked, {"next_item": "u"})


@pytest.mark.parametrize(
    ("method", "refused"),
    [
        ("user_llm", ["user_llm"]),
        ("user_llm_item_head", ["user_llm"]),  # a row of its section
        ("user_llm", ["user_encoder"]),  # what stands in its slot
        ("sasrec", []),
    ],
)
def test_what_takes_no_part_in_a_run_is_in_nobodys_way(ask, method, refused):
    names = refused or ["user_llm", "user_encoder"]
    asked = ask({name: entry() for name in names}, methods=method, split="global_time")
    if refused:
        assert f"settings of {refused[0]} were tuned" in refusal(asked)
    else:
        assert check_tuned(*asked) == []


def test_validation_targets_may_be_asked(ask):
    asked = ask({"sasrec": entry()}, methods="sasrec", split="global_time", part="validation")
    assert check_tuned(*asked) == []


def test_other_data_are_a_note(ask):
    entries = {"sasrec": entry(), "bert4rec": entry(), "user_llm": entry(dataset="ml-1m")}
    asked = ask(entries, methods="sasrec,bert4rec", dataset="synthetic", split="global_time")
    (note,) = check_tuned(*asked)
    assert note == "settings were tuned on other data than synthetic: sasrec, bert4rec on ml-100k"


@pytest.mark.parametrize("tuning", [None, 3, [1], {"sasrec": None}, {"sasrec": {"settings": {}}}])
def test_what_is_not_said_of_a_search_cannot_be_checked(ask, tuning):
    with pytest.raises(UserError, match=r"tuned\.yaml: what stands under tuning"):
        ask(tuning, methods="sasrec")


def test_a_record_says_whose_search_it_was_and_what_was_set_on_top(ask):
    asked = ask({"sasrec": entry()}, methods="sasrec,user_llm", set=["sasrec.fit.epochs=3"])
    said = tuned_of("sasrec", *asked)
    assert said["set"] == ["fit.epochs"]
    assert (said["method"], said["file"], said["trials"]) == ("sasrec", "tuned.yaml", 12)
    assert "history" not in said
    assert tuned_of("user_llm", *asked) is None
    below = ask({"user_encoder": entry()}, methods="user_llm")
    assert tuned_of("user_llm", *below)["method"] == "user_encoder"


# As commands.


@pytest.fixture
def tables(tmp_path):
    return replace(noisy_tables(tmp_path / "spaces"), splits=TABLES.splits)


def test_a_run_of_another_split_runs_nothing(bench):
    bench.rows("--method", "noisy", "--trials", "2")
    code, out, err = bench(*RUN, "--methods", "noisy", "--split", "global_time")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "world-next_item.yaml: settings of noisy were tuned for next_item on world" in err
    assert not Path("results/runs").exists()


def test_a_run_of_other_targets_runs_nothing(bench):
    bench.rows("--method", "noisy", "--trials", "1")
    file = bench.file()
    file["tuning"]["noisy"]["target_hash"] = "0" * 64
    Path(FILE).write_text(yaml.safe_dump(file))
    code, out, err = bench(*RUN, "--methods", "noisy")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "the targets of next_item" in err
    assert not [*Path("results/runs").rglob("record.json")]


def test_a_run_on_other_data_says_so_and_runs(bench):
    bench.rows("--method", "noisy", "--trials", "2")
    code, _, err = bench(*RUN, "--methods", "noisy", "--dataset", "altered")
    assert code == 0
    assert "settings were tuned on other data than altered: noisy on world" in err


def test_records_say_what_was_tuned_and_hash_as_before(bench):
    bench.rows("--method", "noisy", "--trials", "3", "--seconds", "50")
    kept = bench.file()["tuning"]["noisy"]
    _, out, _ = bench(*RUN, "--methods", "noisy,other")
    hashes = {row["method"]: row["config_hash"] for row in json.loads(out)["rows"]}
    said = {own.method: own.record.tuned for own in load_records([Path("results/runs")])}
    assert said["other"] is None
    for name in (
        "metric", "trials", "failed", "limit_seconds", "seconds", "split", "dataset",
        "dataset_hash", "target_hash", "version", "git",
    ):  # fmt: skip
        assert said["noisy"][name] == kept[name]
    assert said["noisy"]["file"] == "world-next_item.yaml"
    plain = {name: own for name, own in bench.file().items() if name != "tuning"}
    Path("plain.yaml").write_text(yaml.safe_dump(plain))
    _, out, _ = bench(*RUN[:-1], "plain.yaml", "--methods", "noisy,other", "--out", "plain")
    assert {row["method"]: row["config_hash"] for row in json.loads(out)["rows"]} == hashes
    assert {own.record.tuned is None for own in load_records([Path("plain")])} == {True}
