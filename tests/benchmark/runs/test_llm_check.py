"""A language model that cannot be had is found before the first cell runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.errors import UserError
from tests.fakes import make_tables

MISSING = "language model no/such: the configuration cannot be loaded (it is not there)"
Start = Callable[..., tuple[int, str]]


def nowhere(name: str) -> None:
    raise UserError(MISSING)


@pytest.fixture
def start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Start:
    """Runs a command over the fakes, of which alpha alone reads a language model."""
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def call(command: str, *more: str) -> tuple[int, str]:
        options = ["--dataset", "world", "--threads", "1", *more]
        code = main([*command.split(), *options], make_tables())
        return code, capsys.readouterr().err

    return call


@pytest.mark.parametrize(
    "command",
    [
        "run --task next_item --methods beta,alpha",
        "sweep --axis alpha.epochs --values 1,2 --methods beta,alpha",
    ],
)
def test_nothing_runs_where_it_cannot_be_had(
    command: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("userllm.llm.loading.check_language_model", nowhere)
    code, err = start(command, "--llm", "no/such")
    assert code == 2
    assert err == f"error: {MISSING}\n"
    assert not list(Path("results").rglob("record.json"))


def test_a_finished_run_is_shown_without_it(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    command, options = "run --task next_item --methods alpha", ("--llm", "some/model")
    asked: list[str] = []
    monkeypatch.setattr("userllm.llm.loading.check_language_model", asked.append)
    assert start(command, *options)[0] == 0
    assert asked == ["some/model"]
    monkeypatch.setattr("userllm.llm.loading.check_language_model", nowhere)
    assert start(command, *options)[0] == 0
    assert start(command, *options, "--dry-run", "--force")[0] == 0  # it downloads nothing
    assert start(command, *options, "--force")[0] == 2
