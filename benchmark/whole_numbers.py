"""Reads whole numbers that somebody typed or set."""

from __future__ import annotations

import os

from benchmark.errors import UserError

LARGEST_PORT = 65535
"""Of TCP."""


def whole_number(text: str) -> int | None:
    """The number that plain digits say; None where a text is anything else.

    >>> whole_number("29500"), whole_number("-1"), whole_number("²"), whole_number("")
    (29500, None, None, None)
    """
    if not (text.isascii() and text.isdigit()):
        return None
    try:
        return int(text)
    except ValueError:  # more digits than Python reads
        return None


def whole_number_set(name: str, least: int, most: int) -> int:
    """What a variable of the environment says.

    Args:
        name: Of the variable, which is set.
        least: The least number that it may be.
        most: The largest.

    Raises:
        UserError: It says anything else.
    """
    given = os.environ[name]
    number = whole_number(given)
    if number is None or not least <= number <= most:
        raise UserError(f"{name}={given} is no whole number from {least} to {most}")
    return number
