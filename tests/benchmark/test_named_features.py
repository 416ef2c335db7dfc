"""A setting that names no feature of the data set is found while a run is planned."""

from __future__ import annotations

import pytest

from benchmark.cli import main
from benchmark.config import read_config, read_layers
from benchmark.errors import UserError
from benchmark.named_features import check_features
from benchmark.tables import default_tables
from tests.world import small_world

TABLES = default_tables()


def check(section: str, *sets: str) -> None:
    config = read_config(None, {"task": "next_item", "methods": section, "set": list(sets)}, TABLES)
    settings = read_layers(config, TABLES).resolve(TABLES, section)
    check_features(settings, section, small_world().events.schema)


@pytest.mark.parametrize(
    ("section", "setting", "said"),
    [
        ("user_encoder", "features", "unknown feature 'foo'"),
        ("dual_encoder", "features", "unknown item feature 'foo'"),
        ("user_llm", "recent_fields", "unknown feature 'foo'"),
        ("text_prompt", "fields", "unknown feature 'foo'"),
    ],
)
def test_the_setting_is_named_with_what_would_be_right(
    section: str, setting: str, said: str
) -> None:
    check(section)
    check(section, f"{section}.{setting}=[genres]")
    with pytest.raises(UserError) as caught:
        check(section, f"{section}.{setting}=[genres, foo]")
    assert str(caught.value).startswith(f"{section}.{setting}: {said}: valid: ")
    assert "genres" in str(caught.value)


def test_what_only_events_have_is_no_feature_of_an_item() -> None:
    check("user_encoder", "user_encoder.features=[rating]")
    with pytest.raises(UserError, match=r"dual_encoder\.features: unknown item feature 'rating'"):
        check("dual_encoder", "dual_encoder.features=[rating]")


@pytest.mark.parametrize("method", ["user_encoder", "user_llm"])
def test_nothing_is_trained_before_it_is_found(
    method: str, monkeypatch: pytest.MonkeyPatch, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        "benchmark.runs.runner.run_cell", lambda *given: pytest.fail("it was trained")
    )
    command = f"run --task next_item --dataset synthetic --methods popularity,{method} --threads 1"
    sets = ["--set", "user_encoder.features=[foo]", "--out", str(tmp_path / "out")]
    assert main([*command.split(), *sets]) == 2
    _, err = capsys.readouterr()
    assert "user_encoder.features: unknown feature 'foo': valid: " in err
