from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.data.division import Split
from benchmark.system import ranks
from benchmark.system.ranks import Spread
from benchmark.tasks.sharing import as_of_all, own_rows, own_share


@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 7))
def test_every_example_is_asked_once_and_neighbours_stay_together(
    count: int, unit: int, size: int
) -> None:
    asked: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        for rank in range(size):
            patch.setattr(ranks, "_spread", Spread(rank, size))
            rows = own_rows(count, unit)
            asked += range(rows.start, rows.stop)
            assert rows.start % unit == 0 or rows.start == count
            assert len(asked) % unit == 0 or len(asked) == count
    assert asked == list(range(count))


def test_a_process_that_is_done_with_its_share_says_all(world_split: Split) -> None:
    examples = world_split.test
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "_spread", Spread(0, 2))
        share, _ = own_share(examples)
        assert len(share) < len(examples)
        assert as_of_all(len(share), share, examples) == len(examples)
        assert as_of_all(0, share, examples) == 0


def test_one_process_asks_all() -> None:
    assert own_rows(7) == slice(0, 7)
