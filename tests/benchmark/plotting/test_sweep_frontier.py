import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.plotting.sweep_frontier import frontier


@pytest.mark.parametrize(
    ("costs", "values", "expected"),
    [
        ([], [], []),
        ([3.0], [0.1], [0]),
        ([1.0, 2.0, 3.0], [0.1, 0.3, 0.2], [0, 1]),
        ([3.0, 2.0, 1.0], [0.3, 0.2, 0.1], [2, 1, 0]),
        ([1.0, 2.0], [0.3, 0.2], [0]),
        ([1.0, 1.0], [0.2, 0.3], [1]),
        ([2.0, 1.0], [0.3, 0.3], [1]),
        ([1.0, 1.0], [0.3, 0.3], [0, 1]),
        ([0.0, 5.0, 5.0, 4.0], [0.0, 0.4, 0.4, 0.5], [0, 3]),
    ],
)
def test_frontier_by_hand(costs, values, expected):
    assert frontier(costs, values) == expected


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_all_but_the_frontier_is_beaten(places):
    kept = frontier([float(cost) for cost, _ in places], [float(value) for _, value in places])
    for n, (cost, value) in enumerate(places):
        beaten = any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in places)
        assert (n in kept) != beaten
