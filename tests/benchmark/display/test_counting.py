"""Numbers of things as people read them."""

from __future__ import annotations

import pytest

from benchmark.display.counting import counted


@pytest.mark.parametrize(
    ("number", "names", "said"),
    [
        (0, ("user",), "0 users"),
        (1, ("user",), "1 user"),
        (1682, ("user",), "1,682 users"),
        (1, ("axis", "axes"), "1 axis"),
        (2, ("axis", "axes"), "2 axes"),
    ],
)
def test_one_of_a_thing_has_no_plural(number: int, names: tuple[str, ...], said: str) -> None:
    assert counted(number, *names) == said
