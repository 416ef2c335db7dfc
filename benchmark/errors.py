"""Errors that a person can act on. The command line prints them as one line, without traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Wrong input: exit code 2."""


class RunError(Exception):
    """Something failed on the way: exit code 1; what was finished is kept."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> UserError:
    """The error for a name nobody knows, with the nearest one and the valid ones."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UserError(f"unknown {kind} {name!r}: {hint}valid: {', '.join(names)}")
