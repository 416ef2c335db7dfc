"""The file of tuned settings: what each method is given, and what goes out of date."""

from __future__ import annotations

import pytest
import yaml

from benchmark.config import read_config
from benchmark.errors import UserError
from benchmark.tables import default_tables
from benchmark.tuning.tuned import Below, outdated, read_tuned, standing_on, write_tuned

TABLES = default_tables()


def entry(settings, encoder=None, **changes):
    return {
        "settings": settings,
        "encoder": encoder or {},
        "task": "next_item",
        "dataset": "ml-100k",
        "split": "last",
        "split_settings": {},
        "target_hash": "t",
        "seconds": 60.0,
        "preset": "quick",
        "seen": "exclude",
        "space": {"align.noise": {"low": 0.0, "high": 1.0}, "strategy": ["full", "enc"]},
        "history": [{"number": 0, "state": "finished", "value": 0.1, "settings": {"a.b": 1e-05}}],
        **changes,
    }


def test_what_was_written_can_be_read_and_is_a_configuration(tmp_path):
    path = tmp_path / "deep" / "tuned.yaml"
    entries = {"sasrec": entry({"optimizer.learning_rate": 1e-05, "fit.batch_size": 32})}
    write_tuned(path, entries, TABLES)
    read = read_tuned(path)
    assert read["sasrec"]["space"].pop("strategy") == {"choices": ["full", "enc"]}
    entries["sasrec"]["space"].pop("strategy")
    assert read == entries
    config = read_config(path, {}, TABLES)
    assert (config.task, config.dataset, config.preset) == (("next_item",), "ml-100k", "quick")
    assert config.sections == {
        "sasrec": {"optimizer": {"learning_rate": 1e-05}, "fit": {"batch_size": 32}}
    }
    assert [own.name for own in path.parent.iterdir()] == ["tuned.yaml"]  # nothing half written


def test_what_was_found_for_a_section_does_not_reach_its_other_rows(tmp_path):
    path = tmp_path / "tuned.yaml"
    entries = {
        "user_llm": entry({"strategy": "enc", "loss": "token", "align.noise": 0.1}),
        "user_llm_item_head": entry({"align.noise": 0.4}),
    }
    write_tuned(path, entries, TABLES)
    file = yaml.safe_load(path.read_text())
    assert file["user_llm"] == {"strategy": "enc", "loss": "token", "align": {"noise": 0.1}}
    # Its loss is what makes the row; it was tuned with the strategy of the preset.
    assert file["user_llm_item_head"] == {"align": {"noise": 0.4}, "strategy": "full"}


def test_what_methods_do_not_share_is_not_said_for_all(tmp_path):
    path = tmp_path / "tuned.yaml"
    entries = {"sasrec": entry({}), "bert4rec": entry({"masked": 0.2}, preset="full")}
    write_tuned(path, entries, TABLES)
    file = yaml.safe_load(path.read_text())
    assert {*file} == {"task", "dataset", "split", "seen", "bert4rec", "tuning"}


def test_a_method_stands_on_what_was_tuned_of_its_encoder(tmp_path):
    encoder = {"transformer.width": 128}
    entries = {"user_encoder": entry(encoder), "sasrec": entry({})}
    assert standing_on("user_encoder", entries) == Below({"user_encoder": encoder}, 60.0)
    assert standing_on("bert4rec", entries) == Below({"bert4rec": {}}, 0.0)
    entries["user_llm"] = entry({}, {"user_encoder": encoder})
    assert outdated(entries) == []
    entries["user_encoder"] = entry({"transformer.width": 32})
    (line,) = outdated(entries)
    assert "user_llm" in line
    assert "user_encoder" in line


def test_a_method_tuned_before_its_encoder_is_out_of_date_too():
    entries = {"user_llm": entry({}, {"user_encoder": {}})}
    assert outdated(entries) == []
    assert outdated({**entries, "user_encoder": entry({"transformer.width": 32})})


@pytest.mark.parametrize("text", ["", "a: 1", "tuning: [1]", "tuning: {sasrec: {settings: {}}}"])
def test_a_file_of_another_kind_is_refused(tmp_path, text):
    path = tmp_path / "tuned.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="was not made by userllm-bench tune"):
        read_tuned(path)
    assert read_tuned(tmp_path / "none.yaml") == {}
