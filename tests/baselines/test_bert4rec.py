from __future__ import annotations

import torch

from baselines.bert4rec import Bert4RecModel
from baselines.config import Bert4RecSettings
from baselines.recbole_bridge import build_bert4rec
from benchmark.schema import ITEM
from benchmark.types import HistoryBatch

SIZE = {"width": 16, "layers": 2, "heads": 2, "dropout": 0.0}


def _model(world, **changes):
    torch.manual_seed(0)
    settings = Bert4RecSettings.model_validate(
        {"transformer": SIZE, "fit": {"history": 8}, **changes}
    )
    return Bert4RecModel(world.events, settings).eval()


def test_fused_kernels_compute_what_recbole_computes(world):
    model = _model(world)
    options = {"n_layers": 2, "n_heads": 2, "hidden_size": 16, "inner_size": 64}
    theirs = build_bert4rec(world.events, 9, options).eval()
    theirs.load_state_dict(model.net.state_dict())
    items = torch.randint(1, 41, (5, 9))
    items[1, 4:] = 0
    chosen = (torch.rand(5, 9) < 0.4) & (items > 0)
    masked = items.masked_fill(chosen, theirs.mask_token)
    # GELU in its tanh form differs by less than 1e-3.
    torch.testing.assert_close(model(masked, chosen), theirs(masked)[chosen], atol=2e-3, rtol=0)


def test_a_masked_item_is_not_seen(world):
    model = _model(world)
    items = torch.tensor([[3, 7, 9, 2], [3, 7, 9, 5]])
    chosen = torch.zeros(2, 4, dtype=torch.bool)
    chosen[:, 3] = True
    states = model(items.masked_fill(chosen, model.net.mask_token), chosen)
    torch.testing.assert_close(states[0], states[1])


def test_masks_real_events_alone_and_at_least_one_a_window(world):
    model = _model(world, masked=0.05)
    mask = torch.arange(9) < torch.randint(2, 10, (200, 1))
    batch = HistoryBatch({ITEM: mask.long()}, mask)
    chosen = model._choose(batch)
    assert not (chosen & ~mask).any()
    assert chosen.any(dim=1).all()


def test_last_only_masks_the_last(world):
    model = _model(world, last_only=1.0)
    mask = torch.arange(9) < torch.randint(2, 10, (50, 1))
    chosen = model._choose(HistoryBatch({ITEM: mask.long()}, mask))
    assert (chosen.sum(dim=1) == 1).all()
    assert (chosen.int().argmax(dim=1) == mask.sum(dim=1) - 1).all()
