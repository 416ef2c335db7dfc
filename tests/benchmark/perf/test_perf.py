from __future__ import annotations

import json
import sys

import pytest

from benchmark.perf import __main__ as command
from benchmark.perf.bert4rec import compare
from benchmark.perf.comparison import Comparison, write

TINY = {
    "transformer": {"width": 16, "layers": 1, "heads": 2, "dropout": 0.0},
    "fit": {"history": 8, "batch_size": 16, "epochs": 2, "looks": 2},
}


def test_the_file_says_what_was_asked_for(tmp_path):
    path = write("x", Comparison(2.0, 30.0, "seconds", {"why": "so"}), tmp_path / "perf", 1)
    facts = json.loads(path.read_text())
    assert {"name", "ours", "theirs", "ratio", "unit", "host", "versions"} <= facts.keys()
    assert (facts["name"], facts["ours"], facts["theirs"]) == ("x", 2.0, 30.0)
    assert facts["ratio"] == pytest.approx(15)
    assert facts["host"]["threads"] == 1
    assert list(path.parent.iterdir()) == [path]


def test_no_answer_where_the_mark_was_not_reached():
    assert Comparison(None, 30.0, "seconds").ratio == 0


def test_bert4rec_on_the_small_world(world, monkeypatch):
    monkeypatch.setattr("torch.set_num_threads", lambda count: None)
    result = compare(world, 1, ours=TINY, epochs=1, seeds=(0, 1))
    details = result.details
    assert result.theirs == details["recbole"]["seconds"] > 0
    assert set(details["our_seconds_by_seed"]) == {0, 1}
    for seed, curve in details["our_curves"].items():
        assert [point["step"] for point in curve] == sorted(point["step"] for point in curve)
        reached = details["our_seconds_by_seed"][seed]
        first = [p["seconds"] for p in curve if p["value"] >= details["quality"]]
        assert reached == (first[0] if first else None)
    assert (result.ours is None) == (None in details["our_seconds_by_seed"].values())
    json.dumps(details)


def test_an_unknown_name_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["perf", "bert4rec_time"])
    assert command.main() == 2
    error = capsys.readouterr().err
    assert "did you mean 'bert4rec_time_to_quality'" in error
    assert len(error.strip().splitlines()) == 1
