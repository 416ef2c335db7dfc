from pathlib import Path

import pytest

from tests.benchmark.data.csv_reader import write_source


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small data set's files, and a home of the test's own."""
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    return write_source(tmp_path / "source")
