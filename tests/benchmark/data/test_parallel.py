from __future__ import annotations

import threading

import pytest

from benchmark.data.parallel import ahead, side_by_side


def test_two_tasks_run_at_once_and_answer_in_order():
    meet = threading.Barrier(2, timeout=10)  # broken unless both are there

    def first():
        meet.wait()
        return 1

    def second():
        meet.wait()
        return 2

    assert side_by_side([first, second]) == [1, 2]


def test_the_first_tasks_error_is_raised():
    def fail(what):
        raise ValueError(what)

    with pytest.raises(ValueError, match="a"):
        side_by_side([lambda: 1, lambda: fail("a"), lambda: fail("b")])


def test_items_made_ahead_come_in_order_with_their_error():
    def items():
        yield from range(5)
        raise OSError("gone")

    made = ahead(items())
    assert [next(made) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(OSError, match="gone"):
        next(made)
    assert list(ahead([])) == []


def test_the_next_item_is_made_while_the_latest_is_worked_on():
    made = threading.Event()

    def items():
        yield 0
        made.set()
        yield 1

    for item in ahead(items()):
        assert item or made.wait(10)


def test_who_stops_early_asks_for_no_more_than_one_item_more():
    asked = []

    def items():
        for item in range(100):
            asked.append(item)
            yield item

    for item in ahead(items()):
        if item == 2:
            break
    assert max(asked) <= 3
