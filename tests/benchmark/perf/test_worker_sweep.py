from __future__ import annotations

import contextlib
import json
import os

import pytest

from benchmark.errors import RunError
from benchmark.perf import worker_sweep
from benchmark.runs.runner import settle_in_turn
from tests.fakes import Silent, make_tables

OPTIONS = {"task": "next_item", "dataset": "world", "methods": "alpha", "part": "validation"}


class Crew:
    """Workers that are this process."""

    def __init__(self, scale):
        self.workers = scale.workers
        self.homes = os.environ["USERLLM_BENCH_HOME"]

    def progress(self, title):
        return Silent()

    def settle(self, cells, world, config, progress):
        return settle_in_turn(cells, world, config, progress)


@pytest.fixture
def crews(monkeypatch):
    made = []

    @contextlib.contextmanager
    def crew_of(scale, tables, stream):
        made.append(Crew(scale))
        yield made[-1]

    monkeypatch.setattr(worker_sweep, "crew_of", crew_of)
    return made


def test_both_sides_begin_with_nothing_and_find_the_same(crews, monkeypatch):
    monkeypatch.setenv("USERLLM_BENCH_HOME", "mine")
    result = worker_sweep.compare(make_tables(), OPTIONS, 3)
    assert [crew.workers for crew in crews] == [1, worker_sweep.WORKERS]
    assert len({crew.homes for crew in crews} | {"mine"}) == 3
    assert os.environ["USERLLM_BENCH_HOME"] == "mine"
    assert result.ratio == result.theirs / result.ours
    assert result.details["cells"] == 3
    json.dumps(result.details)


def test_a_cell_that_fails_is_no_measurement(crews):
    with pytest.raises(RunError, match="seed 0: the loss of stage count is nan"):
        worker_sweep.compare(make_tables(), {**OPTIONS, "set": ["alpha.fail=nan"]}, 1)
