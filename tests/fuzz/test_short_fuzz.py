"""A few nearly valid inputs for everything that reads what others wrote; `make fuzz` gives more."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import pytest

from benchmark.errors import UserError
from tests.fuzz.mutating import mutate, mutate_words
from tests.fuzz.target import Target, fuzz
from tests.fuzz.targets import TARGETS

INPUTS = 1000
"""Over all targets."""
_QUICK = [target for target in TARGETS if target.weight >= 0.1]
"""Those that draw figures take seconds for each input."""
_WHOLE = sum(target.weight for target in _QUICK)


@pytest.mark.parametrize("target", _QUICK, ids=lambda target: target.name)
def test_nothing_but_errors_of_users_is_raised(target: Target) -> None:
    logging.disable(logging.WARNING)  # readers name each broken line
    try:
        report = fuzz(target, max(3, round(INPUTS * target.weight / _WHOLE)), seed=0)
    finally:
        logging.disable(logging.NOTSET)
    assert report.inputs >= 3
    assert not report.crashes, "\n".join(report.traces.values())


class _Faulty:
    """Breaks at a zero, refuses what is long, and says something in two lines at a one."""

    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        while True:
            yield bytes([rng.randrange(5)])

    def call(self, given: bytes) -> None:
        if given == b"\0":
            raise KeyError("broken")
        if given == b"\1":
            raise UserError("two\nlines")
        if given == b"\2":
            raise UserError("refused")
        if given == b"\3":
            raise SystemExit(3)


def test_what_breaks_is_found_counted_and_kept() -> None:
    report = fuzz(Target("faulty", 1, lambda folder: _Faulty()), 200, seed=1)
    assert report.inputs == 200
    assert len(report.crashes) == 3
    assert sum(report.crashes.values()) + report.refused > 120
    assert set(report.first.values()) == {b"\0", b"\1", b"\3"}
    assert {key.partition(" at ")[0] for key in report.crashes} == {
        "KeyError", "SystemExit", "several lines",
    }  # fmt: skip
    assert all("test_short_fuzz.py" in key for key in report.crashes)


def test_the_same_seed_gives_the_same_inputs() -> None:
    whole = b'{"a": [1, {"b": "c"}], "d": null}\nuser,item\n1,2\n' * 5
    first, second = random.Random(3), random.Random(3)
    made = [mutate(whole, first, (b",",)) for _ in range(300)]
    assert made == [mutate(whole, second, (b",",)) for _ in range(300)]
    assert len(set(made)) > 250
    assert sum(own != whole for own in made) > 290
    assert mutate(b"", random.Random(0)) is not None


def test_words_are_changed_a_little() -> None:
    rng = random.Random(0)
    made = [mutate_words(["run", "--task", "x"], rng, ["list"]) for _ in range(300)]
    assert len({tuple(own) for own in made}) > 200
    assert all(len(own) <= 6 for own in made)
