"""Options that several commands share: each one that a run knows reaches the run."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from benchmark.apps.ablate import ablate
from benchmark.apps.options import of_run
from benchmark.apps.run import run
from benchmark.apps.sweep import sweep
from benchmark.config import RunConfig


@pytest.mark.parametrize("command", [run, ablate, sweep])
def test_no_option_of_a_run_is_dropped(command: Callable[..., int]) -> None:
    typed = {name: f"own {name}" for name in inspect.signature(command).parameters}
    told = of_run(typed)
    keys = {field.alias or name for name, field in RunConfig.model_fields.items()}
    assert keys & {*typed} <= {*told} <= keys
    assert told["set"] == "own assignments"
    assert told["json"] == "own as_json"


def test_what_was_not_typed_is_nothing() -> None:
    assert of_run({"task": [], "seeds": ["0"], "out": None, "retries": 2}) == {
        "task": None,
        "seeds": ["0"],
        "out": None,
    }
