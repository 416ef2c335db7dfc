"""Folders that may be read and not written. Root may write everywhere, so it steps down first."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.config import read_config
from benchmark.errors import UserError
from benchmark.records.results import load_records
from benchmark.runs.runner import run
from benchmark.scaleout.hands import Hands
from benchmark.types import StageReport
from tests.fake_keeper import keeper_tables
from tests.fakes import Silent
from userllm.training.cache import cached_stage

TABLES = keeper_tables()
NOBODY = 65534

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no such rights")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with finished runs and their home that may not be changed, but for `open` in it.

    The home has the keeper's stage of seed 0, and no longer that of seed 5, whose run is finished.
    """
    place = Path(tempfile.mkdtemp())  # that of pytest is for its owner alone
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(place / "home"))
    # All that is imported later is imported here.
    import optuna  # noqa: F401

    start(place / "runs", "alpha")
    main(["plot", str(place / "runs"), "--out", str(place / "other")], TABLES)
    start(place / "others", "keeper")
    start(place / "open", "keeper", seed=5)
    shutil.rmtree(place / "home" / "stages" / "kept-x-5")
    for path in [place, *place.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for path in [place / "open", *(place / "open").rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o666)
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


def start(out: Path, methods: str, seed: int = 0, *, at_home: bool = True) -> list[str]:
    options = {"task": "next_item", "dataset": "world", "methods": methods, "out": out}
    config = read_config(None, {**options, "seeds": seed, "threads": 1}, TABLES)
    hands = Hands(Silent(), at_home=at_home)
    return [row.error for row in run(config, TABLES, hands.progress, settling=hands.settling)]


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
    with pytest.raises(UserError, match=f"{cache} cannot be written: .* USERLLM_BENCH_HOME"):
        cached_stage(cache, "another", build)


def test_a_home_that_lacks_a_stage_and_cannot_be_written_is_said_before_anything_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = replace(TABLES, spaces=folder / "open")
    for name in ("beta", "keeper"):
        (tables.spaces / f"{name}.yaml").write_text("rate: [0.001, 0.01]")
    options = ["--dataset", "world", "--threads", "1", "--out", str(folder / "open" / "new")]
    for command in (
        "run --task next_item --methods beta,keeper --seeds 1",
        "run --task next_item --methods keeper --seeds 0,1",
        "sweep --axis keeper.rate --values 0.1,0.2 --methods keeper --seeds 1",
        "tune --method beta,keeper --seed 1 --trials 1",
    ):
        assert main([*command.split(), *options], tables) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith(f"error: {folder / 'home' / 'stages'} cannot be written: ")
        assert "USERLLM_BENCH_HOME" in error
    assert not list((folder / "open" / "new").rglob("record.json"))


def test_where_nothing_is_to_be_kept_a_home_need_not_be_written(folder: Path) -> None:
    out = folder / "open"
    assert start(out, "beta", seed=1) == [""]  # has no stages
    assert start(out, "keeper", seed=5) == [""]  # is finished
    assert start(out, "keeper,beta") == ["", ""]  # its stage is there
    (row,) = [own for own in load_records([out]) if (own.method, own.seed) == ("keeper", 0)]
    assert row.record is not None
    assert [stage.reused for stage in row.record.fit.stages] == [True]


def test_what_workers_with_another_home_need_is_said_by_them(folder: Path) -> None:
    with pytest.raises(UserError, match="a stage of keeper seed 1 is to be trained"):
        start(folder / "open", "beta,keeper", seed=1)
    assert not list((folder / "open").glob("*-beta-*"))
    with pytest.raises(UserError, match="the stage kept-x-1 is to be trained"):
        start(folder / "open", "beta,keeper", seed=1, at_home=False)
    assert list((folder / "open").glob("*-beta-*"))
