"""Whole numbers that somebody typed or set."""

from __future__ import annotations

import doctest

import pytest

from benchmark import whole_numbers
from benchmark.errors import UserError
from benchmark.whole_numbers import whole_number, whole_number_set


def test_the_example_holds() -> None:
    assert doctest.testmod(whole_numbers).attempted
    assert not doctest.testmod(whole_numbers).failed


@pytest.mark.parametrize("text", ["²", "٣", "+1", " 1", "1_0", "1.0", "0x1", "1" * 5000])
def test_what_are_no_plain_digits_is_no_number(text: str) -> None:
    assert whole_number(text) is None


def test_bounds_are_numbers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for given in ("1", "007", "9"):
        monkeypatch.setenv("PLACE", given)
        assert whole_number_set("PLACE", 1, 9) == int(given)
    for given in ("0", "10", "", "nine"):
        monkeypatch.setenv("PLACE", given)
        with pytest.raises(UserError, match=f"PLACE={given} is no whole number from 1 to 9"):
            whole_number_set("PLACE", 1, 9)
