import doctest
from math import log2

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.metrics import ranking
from benchmark.metrics.ranking import MISSED, MRR, NDCG, NEXT_ITEM_METRICS, Recall, ranks_in_lists

RANKS = np.array([1, 2, 5, 6, 10, 11, MISSED])


@pytest.mark.parametrize(
    ("metric", "mean"),
    [
        (Recall(1), 1 / 7),
        (Recall(5), 3 / 7),
        (Recall(10), 5 / 7),
        (NDCG(10), (1 + 1 / log2(3) + 1 / log2(6) + 1 / log2(7) + 1 / log2(11)) / 7),
        (NDCG(5), (1 + 1 / log2(3) + 1 / log2(6)) / 7),
        (MRR(10), (1 + 1 / 2 + 1 / 5 + 1 / 6 + 1 / 10) / 7),
        (MRR(5), (1 + 1 / 2 + 1 / 5) / 7),
    ],
)
def test_means_worked_by_hand(metric, mean):
    assert metric.per_example(RANKS).mean() == pytest.approx(mean, abs=1e-12)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_values_are_between_no_and_yes_and_fall_with_rank(ranks):
    ranks = np.array(ranks)
    for metric in NEXT_ITEM_METRICS:
        values = metric.per_example(ranks)
        assert ((values >= 0) & (values <= 1)).all()
        better = metric.per_example(np.where(ranks > 1, ranks - 1, ranks))
        assert (better >= values).all()
        assert (values[(ranks == MISSED) | (ranks > metric.k)] == 0).all()


def test_names():
    names = [metric.name for metric in NEXT_ITEM_METRICS]
    assert names == ["recall@1", "recall@5", "recall@10", "ndcg@10", "mrr@10"]


def test_examples_in_docstrings():
    result = doctest.testmod(ranking)
    assert result.attempted >= 3
    assert result.failed == 0


def test_ranks_in_lists():
    frame = pl.DataFrame(
        {"target": ["a", "b", "c", "d"], "ranked": [["a", "b"], ["a", "b"], ["a", "b"], []]},
        schema={"target": pl.String, "ranked": pl.List(pl.String)},
    )
    assert ranks_in_lists(frame).tolist() == [1, 2, MISSED, MISSED]
    assert ranking.recompute(frame)["mrr@10"].tolist() == [1, 1 / 2, 0, 0]
