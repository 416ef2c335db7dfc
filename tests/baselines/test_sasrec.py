from __future__ import annotations

import torch

from baselines.config import SasRecSettings
from baselines.sasrec import SasRecModel
from benchmark.schema import ITEM
from benchmark.types import HistoryBatch

SETTINGS = SasRecSettings.model_validate(
    {"transformer": {"width": 16, "layers": 2, "dropout": 0.0}, "fit": {"history": 8}}
)


def test_a_later_event_cannot_change_an_earlier_state():
    model = SasRecModel(20, SETTINGS).eval()
    items = torch.randint(1, 21, (3, 8))
    later = items.clone()
    later[:, 5] = items[:, 5] % 20 + 1
    before, after = model(items), model(later)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


def test_padding_carries_no_loss():
    model = SasRecModel(20, SETTINGS).eval()
    items = torch.tensor([[3, 7, 9, 2, 0, 0], [5, 1, 0, 0, 0, 0]])
    batch = HistoryBatch({ITEM: items}, items > 0)
    alone = [
        model.training_loss(HistoryBatch({ITEM: row[None, :n]}, row[None, :n] > 0)) * (n - 1)
        for row, n in zip(items, (4, 2), strict=True)
    ]
    torch.testing.assert_close(model.training_loss(batch), sum(alone) / 4)
