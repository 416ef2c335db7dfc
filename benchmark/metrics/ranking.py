"""How well a ranking places its one target. Values are made of the target's rank alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

MISSED = 0
"""Stands for a target that is not among the ranked items; ranks start at 1."""


class RankingMetric(Protocol):
    """A value for each example, from the rank of its target; the mean is what is reported."""

    @property
    def name(self) -> str:
        """As tables call it, for example `recall@10`."""
        ...

    @property
    def k(self) -> int:
        """Ranks beyond it count as missed."""
        ...

    def per_example(self, ranks: np.ndarray) -> np.ndarray:
        """`[n]` values between 0 and 1, higher is better, from `[n]` ranks (0 = missed)."""
        ...


@dataclass(frozen=True)
class Recall:
    r"""Whether the target is among the first k.

    $\mathrm{recall@k} = [\, \mathrm{rank} \le k \,]$. With one target an example this is the hit
    rate as well.

    >>> Recall(k=5).per_example(np.array([1, 5, 6, MISSED])).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """

    k: int

    @property
    def name(self) -> str:
        """`recall@k`."""
        return f"recall@{self.k}"

    def per_example(self, ranks: np.ndarray) -> np.ndarray:
        """`[n]` values, 0 or 1, from `[n]` ranks."""
        return found(ranks, self.k).astype(np.float64)


@dataclass(frozen=True)
class NDCG:
    r"""Discounted gain of the target, over the best there can be, which is 1 for one target.

    $\mathrm{ndcg@k} = [\, \mathrm{rank} \le k \,] / \log_2(\mathrm{rank} + 1)$.

    >>> NDCG(k=10).per_example(np.array([1, 3, 11, MISSED])).tolist()
    [1.0, 0.5, 0.0, 0.0]
    """

    k: int

    @property
    def name(self) -> str:
        """`ndcg@k`."""
        return f"ndcg@{self.k}"

    def per_example(self, ranks: np.ndarray) -> np.ndarray:
        """`[n]` values from `[n]` ranks."""
        hit = found(ranks, self.k)
        return np.where(hit, 1.0 / np.log2(np.where(hit, ranks, 1) + 1.0), 0.0)


@dataclass(frozen=True)
class MRR:
    r"""Reciprocal rank of the target, where it is among the first k.

    $\mathrm{mrr@k} = [\, \mathrm{rank} \le k \,] / \mathrm{rank}$.

    >>> MRR(k=10).per_example(np.array([1, 4, 11, MISSED])).tolist()
    [1.0, 0.25, 0.0, 0.0]
    """

    k: int

    @property
    def name(self) -> str:
        """`mrr@k`."""
        return f"mrr@{self.k}"

    def per_example(self, ranks: np.ndarray) -> np.ndarray:
        """`[n]` values from `[n]` ranks."""
        hit = found(ranks, self.k)
        return np.where(hit, 1.0 / np.where(hit, ranks, 1), 0.0)


def found(ranks: np.ndarray, k: int) -> np.ndarray:
    """True where the target is among the first k, `[n]`."""
    hits: np.ndarray = (ranks != MISSED) & (ranks <= k)
    return hits


RECALL_AT_1 = Recall(1)
RECALL_AT_5 = Recall(5)
RECALL_AT_10 = Recall(10)
NDCG_AT_10 = NDCG(10)
MRR_AT_10 = MRR(10)

NEXT_ITEM_METRICS: tuple[RankingMetric, ...] = (
    RECALL_AT_1,
    RECALL_AT_5,
    RECALL_AT_10,
    NDCG_AT_10,
    MRR_AT_10,
)


def ranks_in_lists(examples: pl.DataFrame) -> np.ndarray:
    """Rank of each target in its list of ranked items, `[n]`; 0 = not in it.

    Args:
        examples: Columns `target` (an item id) and `ranked` (a list of item ids, best first).
    """
    rows = examples.select("target", "ranked").with_row_index("row").explode("ranked")
    rows = rows.with_columns(rank=pl.int_range(1, pl.len() + 1).over("row"))
    hits = rows.filter(pl.col("ranked") == pl.col("target")).group_by("row").agg(pl.min("rank"))
    ranks = np.full(len(examples), MISSED, dtype=np.int64)
    ranks[hits["row"].to_numpy()] = hits["rank"].to_numpy()
    return ranks


def recompute(
    examples: pl.DataFrame, metrics: tuple[RankingMetric, ...] = NEXT_ITEM_METRICS
) -> dict[str, np.ndarray]:
    """Metric values of every example from what a run wrote down: `target` and `ranked` alone.

    Args:
        examples: The frame in `examples.parquet`.
        metrics: Which metrics.

    Returns:
        `[n]` values by metric name; their means are the published numbers.
    """
    ranks = ranks_in_lists(examples)
    return {metric.name: metric.per_example(ranks) for metric in metrics}
