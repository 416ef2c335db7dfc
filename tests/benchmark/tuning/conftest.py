"""A command line over the fakes that can be tuned."""

from __future__ import annotations

import json

import pytest
import yaml

from benchmark.cli import main
from tests.benchmark.tuning.learner import noisy_tables

TUNE = ("tune", "--dataset", "world", "--threads", "1")
FILE = "results/tuned/world-next_item.yaml"


@pytest.fixture
def tables(tmp_path):
    return noisy_tables(tmp_path / "spaces")


@pytest.fixture
def bench(capfd, monkeypatch, tmp_path, tables):
    """Runs a command line over the fakes and returns code, stdout and stderr."""
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments, tables=tables):
        code = main(list(arguments), tables)
        out, err = capfd.readouterr()
        return code, out, err

    def rows(*arguments, code=0):
        got, out, err = call(*TUNE, *arguments, "--json")
        assert got == code, err
        return {row["method"]: row for row in json.loads(out)["rows"]}

    call.rows = rows
    call.file = lambda: yaml.safe_load((tmp_path / FILE).read_text())
    return call
