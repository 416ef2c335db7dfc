"""RecBole's own evaluator and ours, fed with the same scores, agree."""

import numpy as np
import pytest
import torch

from benchmark.data.readers.movielens import INSTALL_RECBOLE
from benchmark.tasks.config import NextItemSettings
from benchmark.tasks.next_item import NextItem
from benchmark.types import rank_scores

pytest.importorskip("recbole", reason=f"recbole is not installed: {INSTALL_RECBOLE}")

CONFIG = {
    "metrics": ["Recall", "NDCG", "MRR", "Hit"],
    "topk": [1, 5, 10],
    "metric_decimal_place": 12,
    "eval_args": {"mode": "full"},
    "device": "cpu",
}


class RandomScores:
    """Scores without ties, which it remembers with the exclusion it was told."""

    history_length = 3

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)
        self.seen: list[tuple[torch.Tensor, torch.Tensor | None]] = []

    def rank(self, histories, candidates, k):
        shape = (len(histories), candidates.count + 1)
        scores = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        self.seen.append((scores, candidates.exclude))
        return rank_scores(scores, candidates, k)


@pytest.mark.parametrize("seen", ["exclude", "include"])
def test_same_scores_same_numbers(world, world_split, seen, monkeypatch):
    # RecBole 1.2.1 uses a name that NumPy 2 no longer has.
    monkeypatch.setattr(np, "float", float, raising=False)
    from recbole.evaluator import Collector, Evaluator

    method = RandomScores()
    task = NextItem(NextItemSettings(batch_size=32))
    ours = task.evaluate(method, world_split, world, seen).metrics

    collector, evaluator = Collector(CONFIG), Evaluator(CONFIG)
    targets = torch.from_numpy(world_split.test.targets).long()
    begin = 0
    for scores, exclude in method.seen:
        # As RecBole's trainer hands scores over: padding and seen items at minus infinity.
        masked = scores.clone()
        masked[:, 0] = -torch.inf
        if exclude is not None:
            masked[exclude] = -torch.inf
        rows = torch.arange(len(masked))
        batch = targets[begin : begin + len(masked)]
        collector.eval_batch_collect(masked, None, rows, batch)
        begin += len(masked)
    theirs = evaluator.evaluate(collector.get_data_struct())

    assert begin == len(targets)
    assert 0 < ours["recall@10"] < 1
    for name, value in ours.items():
        assert value == pytest.approx(theirs[name], abs=1e-9)
        if name.startswith("recall"):
            assert value == pytest.approx(theirs[name.replace("recall", "hit")], abs=1e-9)
