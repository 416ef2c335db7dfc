"""Numbers of things as people read them."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """How many of what: `1 user`, `1,682 users`.

    Args:
        number: How many.
        one: What a single one is called.
        many: What several are called; `one` with an s where empty.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
