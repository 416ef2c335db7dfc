"""Errors that a person can act on. The command line prints them as one line, without traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

GOES_ON = (
    "finished cells are kept, the same command goes on from there (with --force it begins anew)"
)
"""What becomes of a run that was cut short."""


class UserError(Exception):
    """Wrong input: exit code 2."""


class RunError(Exception):
    """Something failed on the way: exit code 1; what was finished is kept."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> UserError:
    """The error for a name nobody knows, with the nearest one and the valid ones."""
    names = sorted(valid)
    near = nearest(name, names)
    hint = f"{near} " if near else ""
    return UserError(f"unknown {kind} {name!r}: {hint}valid: {', '.join(names)}")


def unkept(what: str, cache: Path, reason: str) -> UserError:
    """The error for stages that cannot be kept where several runs share them.

    Args:
        what: Needs such a stage.
        cache: Folder of shared stages.
        reason: Why it may not be written.
    """
    return UserError(
        f"{cache} cannot be written: {reason}; {what} is to be trained and kept there: set "
        "USERLLM_BENCH_HOME to a folder that can be"
    )


def nearest(name: str, valid: Iterable[str]) -> str:
    """`did you mean 'that'?`, or nothing where no valid name is near."""
    names, place = list(valid), name
    below: dict[str, str] = {}
    # What stands before a dot and is right makes no other name a near one.
    while place and not below:
        place = place[: place.rfind(".", 0, -1) + 1]
        below = {each[len(place) :]: each for each in names if each.startswith(place)}
    last = name[len(place) :]
    near = [each for each in below if _initials(each) == last]
    near += difflib.get_close_matches(last, below, n=1, cutoff=0.5)
    return f"did you mean {below[near[0]]!r}?" if near else ""


def _initials(name: str) -> str:
    """`lr` of `optimizer.learning_rate`; "" where the last part is a single word."""
    words = name.rpartition(".")[2].split("_")
    return "".join(word[:1] for word in words) if len(words) > 1 else ""


def describe_error(error: ErrorDetails, where: str) -> str:
    """One line about what pydantic found wrong."""
    path = ".".join([where, *(str(part) for part in error["loc"])]).strip(".")
    message = error["msg"].removeprefix("Input ").removeprefix("Value error, ")
    given = error["input"]
    got = f", got {given!r}" if isinstance(given, str | int | float | list | None) else ""
    return f"{path}: {message[:1].lower()}{message[1:]}{got}"
