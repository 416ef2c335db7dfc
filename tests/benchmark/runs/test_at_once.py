"""Two processes, or threads where a lock does not tell them apart, at the same folders at once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmark.config import read_config
from benchmark.plotting.style import save
from benchmark.records.publishing import publish
from benchmark.records.results import load_records
from benchmark.reporting.writing import write_files
from benchmark.runs.runner import run
from tests.benchmark.runs.test_runner import start_fakes
from tests.fakes import Silent, make_tables
from tests.records import make_record, write_record
from tests.torture.checks import half_written, left_over

TABLES = make_tables()


def test_of_two_runs_each_cell_runs_once_and_both_show_the_same_table(tmp_path: Path) -> None:
    log = tmp_path / "fits"
    arguments = ["--methods", "alpha,beta", "--seeds", "0,1"]
    for name in ("alpha", "beta"):
        arguments += ["--set", f"{name}.log={log}", "--set", f"{name}.wait=0.3"]
    both = [start_fakes(tmp_path, *arguments) for _ in range(2)]
    rows = []
    for process in both:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert "Traceback" not in err
        assert "no figures" not in err
        rows.append(json.loads(out)["rows"])
    assert log.read_text() == "fit\n" * 4
    assert rows[0] == rows[1]
    assert half_written(tmp_path / "out") == []
    assert left_over(tmp_path / "out") == []


def at_once(function: Callable[[], object], times: int = 4) -> list[object]:
    with ThreadPoolExecutor(times) as pool:  # locks of files hold threads apart, as processes
        return [own.result() for own in [pool.submit(function) for _ in range(times)]]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    options = {"task": "next_item", "dataset": "world", "methods": "alpha,beta",
               "out": tmp_path / "runs", "threads": 1}  # fmt: skip
    run(read_config(None, options, TABLES), TABLES, Silent(), "run")
    for path in (tmp_path / "runs").rglob("record.json"):  # whether this checkout is committed
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "git": None}))
    return tmp_path / "runs"


def test_who_publishes_at_once_publishes_whole_records(runs: Path, tmp_path: Path) -> None:
    found = at_once(lambda: list(publish([runs], tmp_path / "published", TABLES)))
    assert [own.refused for outcome in found for own in outcome] == [""] * 8  # type: ignore[attr-defined]
    assert len(load_records([tmp_path / "published"])) == 2
    assert half_written(tmp_path / "published") == []
    assert not list((tmp_path / "published").rglob(".*"))


def test_a_publication_that_was_killed_between_two_moves_is_there_again(
    runs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "published"
    first = [own.folder for own in publish([runs], out, TABLES)]
    first[0].rename(first[0].with_name(f".tmp-{first[0].name}-abcdefgh-old"))
    assert len(load_records([out])) == 1
    assert [own.folder for own in publish([runs], out, TABLES)] == first
    assert len(load_records([out])) == 2
    assert not list(out.rglob(".*"))


def test_who_draws_at_once_leaves_whole_figures(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    def draw() -> list[Path]:
        figure = Figure(figsize=(2, 2))
        figure.subplots().plot([1, 2])
        return save(figure, tmp_path / "plots" / "figure")

    assert len({tuple(own) for own in at_once(draw)}) == 1  # type: ignore[arg-type]
    assert half_written(tmp_path) == []
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "figure.png", "figure.svg",
    ]  # fmt: skip


def test_who_reports_at_once_leaves_whole_pages(tmp_path: Path) -> None:
    drawn, text = tmp_path / "drawn", "x" * 100_000
    drawn.mkdir()
    (drawn / "figure.png").write_text(text)
    at_once(lambda: write_files(tmp_path / "out", drawn, {"REPORT.md": text}))
    assert {path.read_text() for path in (tmp_path / "out").iterdir()} == {text}


def test_a_folder_that_goes_away_while_records_are_looked_for_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        write_record(tmp_path / name, make_record(name))
    scan = os.scandir

    def vanishing(path: object = ".") -> object:
        if str(path).endswith("b"):
            shutil.rmtree(str(path))
        return scan(path)  # type: ignore[call-overload]

    monkeypatch.setattr("os.scandir", vanishing)
    assert [row.method for row in load_records([tmp_path])] == ["a", "c"]
