"""What is fuzzed, and the loop that does it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmark.errors import UserError

SECONDS_EACH = 60
"""An input that takes longer counts as a crash."""
_ROOT = str(Path(__file__).parents[2])


class Session(Protocol):
    """A target that is set up in a folder of its own."""

    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        """Inputs without end, each nearly valid."""
        ...

    def call(self, given: bytes) -> None:
        """Gives an input to what is tested; whatever it raises but `UserError` is a crash."""
        ...


@dataclass(frozen=True)
class Target:
    """Something that reads what others wrote.

    Attributes:
        name: What reports call it.
        weight: Its share of all inputs.
        open: Sets it up in an empty folder.
    """

    name: str
    weight: float
    open: Callable[[Path], Session]


@dataclass
class Report:
    """What fuzzing a target found.

    Attributes:
        inputs: How many were given.
        refused: How many of them were refused by a `UserError`.
        seconds: What that took.
        slowest: Of one input, seconds.
        crashes: What else was raised, and where → how often.
        first: The first input of each.
        traces: Its traceback.
    """

    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    crashes: Counter[str] = field(default_factory=Counter)
    first: dict[str, bytes] = field(default_factory=dict)
    traces: dict[str, str] = field(default_factory=dict)


def fuzz(target: Target, inputs: int, seed: int, last: Path | None = None) -> Report:
    """Gives a target some inputs, which follow from the seed.

    Args:
        target: What reads them.
        inputs: How many.
        seed: Other inputs.
        last: File for the input that is being read, which is there if the process ends with it.
    """
    report = Report()
    rng = random.Random(f"{target.name} {seed}")
    with tempfile.TemporaryDirectory() as folder, _inside(folder):
        session = target.open(Path(folder))
        given = session.inputs(rng)
        begun = time.perf_counter()
        for _ in range(inputs):
            data = next(given)
            if last is not None:
                last.write_bytes(data)
            before = time.perf_counter()
            try:
                with _limited(SECONDS_EACH):
                    session.call(data)
            except UserError as error:
                report.refused += 1
                if "\n" in str(error):
                    _crash(report, data, error, "several lines")
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # what Rust panics with is no Exception
                _crash(report, data, error, type(error).__name__)
            report.inputs += 1
            report.slowest = max(report.slowest, time.perf_counter() - before)
        report.seconds = time.perf_counter() - begun
    return report


def _crash(report: Report, data: bytes, error: BaseException, what: str) -> None:
    """Counts a crash by what it is and by the innermost place in our own code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(_ROOT)]
    place = own[-1] if own else frames[-1]
    key = f"{what} at {place.filename.removeprefix(_ROOT).lstrip('/')}:{place.lineno}"
    report.crashes[key] += 1
    if key not in report.first:
        report.first[key] = data
        report.traces[key] = "".join(traceback.format_exception(error))


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


class _TookTooLongError(BaseException):
    """No handler of errors catches it."""


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _TookTooLongError(f"more than {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
