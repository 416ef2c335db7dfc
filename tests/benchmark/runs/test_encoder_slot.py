"""The harness builds what stands in the encoder slot, and a record says what it was."""

from __future__ import annotations

import pytest

from benchmark.cli import main
from benchmark.config import read_config
from benchmark.errors import UserError
from benchmark.records.results import read_record
from benchmark.registrations import METHODS
from benchmark.runs.runner import run
from benchmark.tables import default_tables
from tests.fake_encoders import slot_tables
from tests.fakes import Silent

TABLES = slot_tables()


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))

    def start(*sets, methods="taker", **options):
        given = {
            "task": "next_item",
            "dataset": "world",
            "methods": methods,
            "out": tmp_path / "out",
            "set": list(sets),
            "threads": 1,
            **options,
        }
        return run(read_config(None, given, TABLES), TABLES, Silent())

    return start


def test_a_record_says_what_stands_in_the_slot(bench):
    (row,) = bench("small.epochs=5", "small.width=7")
    record = read_record(row.path)
    assert record == row.record
    assert record.encoder.name == "small"
    assert record.encoder.settings == {"epochs": 5, "width": 7}
    assert record.encoder.changes == {"epochs": 5, "width": 7}
    assert record.method.changes == {"small.epochs": 5, "small.width": 7}
    assert record.fit.notes[0] == "width 7"
    assert [stage.name for stage in record.fit.stages] == ["encoder", "count"]
    assert record.budget["limits"]["small.epochs"] == 5
    assert record.budget["text"] == "encoder 5 ep, count 2 ep"


def test_every_setting_in_the_slot_makes_another_cell(bench):
    asked = [[], ["small.width=5"], ["taker.encoder=large"], ["taker.pretrained=false"]]
    rows = [bench(*sets)[0] for sets in asked]
    assert len({row.record.config_hash for row in rows}) == len(asked)
    assert len({row.path for row in rows}) == len(asked)
    assert bench()[0].record.config_hash == rows[0].record.config_hash


def test_from_scratch_has_no_stage_and_other_weights(bench):
    trained, scratch = bench()[0].record, bench("taker.pretrained=false")[0].record
    assert [stage.name for stage in scratch.fit.stages] == ["count"]
    assert trained.fit.notes != scratch.fit.notes


def test_a_method_without_a_slot_has_no_encoder(bench):
    assert bench(methods="alpha")[0].record.encoder is None


def test_what_a_row_fixes_decides_the_encoder(bench):
    rows = bench("large.width=6", "small.width=3", methods="taker,wide")
    assert [row.record.encoder.name for row in rows] == ["small", "large"]
    assert [row.record.fit.notes[0] for row in rows] == ["width 3", "width 6"]


@pytest.mark.parametrize(
    ("sets", "parts"),
    [
        (["taker.encoder=smal"], ["unknown encoder 'smal'", "did you mean 'small'?"]),
        (["large.width=3"], ["large is not part of this run", "small, taker"]),
        (["small.widht=3"], ["'small.widht'", "did you mean 'small.width'?"]),
        (["small.width=0"], ["small.width", "greater than or equal to 1"]),
        (["smal.width=3"], ["unknown", "'smal'", "'small'"]),
    ],
)
def test_wrong_encoders_are_told_in_one_line_before_anything_is_loaded(bench, sets, parts):
    with pytest.raises(UserError) as caught:
        bench(*sets, dataset="gone")  # which would be the next thing to go wrong
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_encoder_that_is_not_installed_is_a_row_that_says_so(bench):
    lone, other = bench("taker.encoder=gone", methods="taker,alpha")
    assert lone.error == "the encoder gone needs no_such_module, which is not installed: get it"
    assert other.record is not None


def test_lists_show_encoders_and_their_settings(capsys):
    assert main(["list", "encoders"], TABLES) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["small", "available"],
        ["large", "available"],
        ["gone", "unavailable"],
    ]
    assert main(["list", "settings", "small"], TABLES) == 0
    assert "small.width" in capsys.readouterr().out
    assert main(["list", "settings"], TABLES) == 0
    assert "large.epochs" in capsys.readouterr().out


def test_an_encoder_that_is_also_a_method_shares_its_section():
    tables = default_tables()
    for name in tables.encoders:
        assert tables.encoders[name].settings == METHODS[name].settings
        assert tables.section(name) == name
    users = [name for name in METHODS if METHODS[name].uses_encoder]
    assert users
    assert all(name.startswith("user_llm") for name in users)
    for name in users:
        fields = tables.settings_model(name).model_fields
        assert fields["encoder"].default in tables.encoders
        assert fields["pretrained"].default is True
