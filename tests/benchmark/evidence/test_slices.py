import numpy as np
import polars as pl
import pytest

from benchmark.evidence.slices import slice_lines, slices_of, thirds
from tests.benchmark.evidence.rows import finished, group_of

USERS = 300
RNG = np.random.default_rng(0)
ABOUT = {
    "history_events": RNG.integers(5, 500, USERS),
    "gap_seconds": RNG.choice([0, 30, 7200, 10**6, 10**7], USERS),
    "target_popularity": RNG.choice([0, 1, 5, 50, 500], USERS),
}


def test_every_slicing_holds_every_user_once():
    found = slices_of(pl.DataFrame(ABOUT))
    assert len(found) == 5
    for parts in found.values():
        assert (np.sum(list(parts.values()), axis=0) == 1).all()


def test_what_columns_do_not_say_is_no_slicing():
    assert slices_of(pl.DataFrame({"user": ["a"]})) == {}
    constant = pl.DataFrame({"gap_seconds": [5, 6, 7]})
    assert slices_of(constant) == {}  # all within an hour, none tied


def test_thirds_keep_ties_together_and_say_their_borders():
    values = np.array([1, 1, 1, 1, 2, 3, 4, 5, 6])
    parts = thirds(values, "events")
    assert list(parts) == ["1 events", "2 to 3 events", "4 to 6 events"]
    assert [int(inside.sum()) for inside in parts.values()] == [4, 2, 3]
    assert list(thirds(np.full(5, 7), "events")) == ["7 events"]


def test_lines_are_means_of_the_users_inside(tmp_path):
    cold = ABOUT["target_popularity"] == 0
    base, better = RNG.random(USERS) < 0.2, RNG.random(USERS) < 0.2
    better = better | ~cold
    rows = [finished(tmp_path, n, h, columns=ABOUT) for n, h in (("a", base), ("b", better))]
    group = group_of(*rows)
    lines = slice_lines(group, "recall@1")
    warm = {line.label: line for line in lines if line.slice == "warm"}
    assert warm["a"].difference is None
    assert warm["a"].mean.value == pytest.approx(base[~cold].mean())
    assert warm["b"].mean.value == 1.0
    assert warm["b"].difference.value == pytest.approx(1 - base[~cold].mean())
    assert warm["b"].users == (~cold).sum()
    other = slice_lines(group, "recall@1", group["b"])
    assert {line.label for line in other if line.difference is None} == {"b"}


def test_slices_of_few_users_are_left_out(tmp_path):
    columns = {"gap_seconds": np.where(np.arange(USERS) < 5, 0, 30)}
    row = finished(tmp_path, "a", RNG.random(USERS) < 0.2, columns=columns)
    assert {line.users for line in slice_lines(group_of(row), "recall@1")} == {USERS - 5}
