"""Searches side by side find what they find one after the other."""

from __future__ import annotations

import contextlib
import threading

import pytest
import yaml

from benchmark.display.progress import quiet_libraries
from benchmark.runs.runner import settle_in_turn
from benchmark.scaleout.hands import Hands
from tests.benchmark.tuning.standing import standing_tables
from tests.fakes import Silent

METHODS = ("--method", "taker,other,small,noisy", "--trials", "3")


@pytest.fixture
def tables(tmp_path):
    return standing_tables(tmp_path / "spaces")


class Crew:
    """Workers that are threads; cells share the process, so one runs at a time."""

    def __init__(self, workers):
        self.workers, self.settled = workers, []
        self.closing, self._one = threading.Event(), threading.Lock()

    def start(self, most, threads, accelerator):
        return min(most, self.workers)

    def progress(self, title):
        return Silent()

    def settle(self, cells, world, config, progress):
        assert not self.closing.is_set()
        with self._one:
            self.settled += [cell.method_name for _, cell in cells]
            return settle_in_turn(cells, world, config, progress)


@pytest.fixture
def side_by_side(monkeypatch):
    """Makes `--workers` a crew of threads."""

    def start(workers):
        crew = Crew(workers)

        @contextlib.contextmanager
        def at_work(scale, tables):
            with quiet_libraries():
                yield Hands(Silent(), crew)

        monkeypatch.setattr("benchmark.scaleout.hands.at_work", at_work)
        return crew

    return start


def found(rows):
    kept = ("number", "state", "value", "settings")
    return {
        name: (row["settings"], [{key: own[key] for key in kept} for own in row["history"]])
        for name, row in rows.items()
    }


@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_found_does_not_depend_on_the_workers(bench, side_by_side, tmp_path, workers):
    alone = bench.rows(*METHODS)
    file = bench.file()
    crew = side_by_side(workers)
    together = bench.rows(*METHODS, "--workers", str(workers), "--out", "again")
    assert list(together) == list(alone)
    assert found(together) == found(alone)
    assert len(crew.settled) == 4 * 3
    last_of_encoder = max(n for n, name in enumerate(crew.settled) if name == "small")
    assert min(n for n, name in enumerate(crew.settled) if name == "taker") > last_of_encoder
    again = yaml.safe_load((tmp_path / "again" / "world-next_item.yaml").read_text())
    del file["tuning"], again["tuning"]
    assert again == file


def test_one_search_that_cannot_begin_does_not_end_the_others(bench, side_by_side):
    side_by_side(2)
    bench.rows("--method", "noisy", "--trials", "1")
    code, _, err = bench(
        "tune", "--dataset", "world", "--threads", "1", "--method", "noisy,other", "--trials",
        "2", "--seed", "3", "--workers", "2",
    )  # fmt: skip
    assert code == 2
    assert "error: noisy: " in err
    assert {*bench.file()["tuning"]} == {"noisy", "other"}


def test_a_full_disk_ends_all_searches(bench, side_by_side):
    crew = side_by_side(2)
    code, _, err = bench(
        "tune", "--dataset", "world", "--threads", "1", "--method", "noisy,other", "--trials",
        "50", "--set", "noisy.fail=disk", "--workers", "2",
    )  # fmt: skip
    assert code == 1
    assert "the disk is full" in err
    assert crew.closing.is_set()
