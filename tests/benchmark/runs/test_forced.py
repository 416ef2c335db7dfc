"""A call that forces a cell may come to it again: a worker dies, and another takes over."""

import pytest

from benchmark.config import read_config
from benchmark.runs.runner import run, settle
from tests.fakes import Fake, Silent, make_tables

TABLES = make_tables()


@pytest.fixture
def force(tmp_path, monkeypatch):
    """Forces one cell, for one call after the other; what `each` gives a time, in order."""
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))

    def start(calls, each=lambda: None):
        found = []

        def settle_often(cells, world, config, progress):
            ((row, cell),) = cells
            for call in calls:
                row = settle(row, cell, world, progress, force=True, call=call)
                found.append(each())
            return {cell.config_hash: row}

        asked = {"task": "next_item", "dataset": "world", "methods": "alpha", "threads": 1}
        config = read_config(None, {**asked, "out": tmp_path / "out"}, TABLES)
        run(config, TABLES, Silent(), settling=settle_often)
        return found

    return start


def test_what_a_call_has_forced_it_does_not_do_twice(force, monkeypatch):
    """A worker may die between the record and its answer."""
    fit, fits = Fake.fit, []
    monkeypatch.setattr(Fake, "fit", lambda *own: fits.append(1) or fit(*own))
    assert force(["a", "a", "b", "b", "a"], lambda: len(fits)) == [1, 1, 2, 2, 3]


def test_a_call_goes_on_with_what_it_has_forced_and_no_other_does(force, monkeypatch):
    fit, began = Fake.fit, []

    def fail_at_first(self, data, context):
        trace = context.checkpoints / "checkpoint"
        began.append(trace.exists())
        trace.parent.mkdir(parents=True, exist_ok=True)
        trace.touch()
        if len(began) < 4:
            raise RuntimeError("it breaks")
        return fit(self, data, context)

    monkeypatch.setattr(Fake, "fit", fail_at_first)
    force(["a", "a", "", "b", "b"])
    assert began == [False, True, False, False]  # what is done is not begun again
