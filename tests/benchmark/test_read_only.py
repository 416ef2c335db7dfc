"""Folders that may be read and not written. Root may write everywhere, so it steps down first."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.config import read_config
from benchmark.results import load_records
from benchmark.runner import run
from benchmark.types import StageReport
from tests.fakes import Silent, make_tables
from userllm.cache import cached_stage

TABLES = make_tables()
NOBODY = 65534

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no such rights")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a finished run that may not be changed any more."""
    place = Path(tempfile.mkdtemp())  # that of pytest is for its owner alone
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(place / "home"))
    # All that is imported later is imported here.
    start(place / "runs", "alpha")
    main(["plot", str(place / "runs"), "--out", str(place / "other")], TABLES)
    for path in [place, *place.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
        yield place
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        for path in [place, *place.rglob("*")]:
            path.chmod(0o755)
        shutil.rmtree(place)


def start(out: Path, methods: str) -> list[str]:
    options = {"task": "next_item", "dataset": "world", "methods": methods, "out": out}
    rows = run(read_config(None, {**options, "threads": 1}, TABLES), TABLES, Silent())
    return [row.error for row in rows]


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--task", "next_item", "--dataset", "world", "--methods", "alpha"),
        ("sweep", "--axis", "alpha.epochs", "--values", "1,2", "--methods", "alpha",
         "--dataset", "world"),
        ("plot", "runs"),
    ],
    ids=lambda own: own[0],
)  # fmt: skip
def test_what_cannot_be_written_is_said_in_one_line(
    arguments: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(folder / "runs") if own == "runs" else own for own in arguments]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert main([*given, "--out", str(folder / "runs")], TABLES) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert "ermission denied" in error
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_records_that_may_only_be_read_are_read(folder: Path) -> None:
    assert [row.method for row in load_records([folder / "runs"])] == ["alpha"]


def test_a_shared_stage_is_read_where_nothing_may_be_written(folder: Path) -> None:
    def build(place: Path) -> StageReport:
        (place / "weights").write_text("w")
        return StageReport("s", 1.0)

    user, cache = os.geteuid(), folder / "stages"
    if os.getuid() == 0:
        os.seteuid(0)
    folder.chmod(0o755)
    cached_stage(cache, "key", build)
    for path in [cache, *cache.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    os.seteuid(user)
    assert cached_stage(cache, "key", build)[1].reused
    with pytest.raises(PermissionError):
        cached_stage(cache, "another", build)
