from __future__ import annotations

import math

import torch

from baselines.config import DualEncoderSettings
from baselines.dual_encoder import DualEncoder, in_batch_loss
from tests.baselines.fitting import context


def test_in_batch_loss_by_hand():
    # Items 1, 2, 3 make up 1/2, 1/4, 1/4 of the events; cosines are 1 and 0; temperature 1/2.
    items = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    log_frequency = torch.tensor([0.0, 0.5, 0.25, 0.25]).log()
    users = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    targets, others = torch.tensor([1, 2]), torch.tensor([1, 2, 3])
    loss = in_batch_loss(users, targets, others, items, log_frequency, temperature=0.5)
    # exp(cosine / temperature) / share: 2 e^2 of item 1 against 4 + 4 of items 2 and 3 in row one
    # (item 1 among the others is the target itself); 4 e^2 against 2 and 4 e^-2 in row two.
    e2 = math.exp(2)
    first = -math.log(2 * e2 / (2 * e2 + 4 + 4))
    second = -math.log(4 * e2 / (4 * e2 + 2 + 4 / e2))
    torch.testing.assert_close(loss, torch.tensor((first + second) / 2))


def test_the_correction_makes_the_loss_estimate_the_full_softmax():
    # With every item once among the others and even shares, the loss is the full cross-entropy.
    generator = torch.Generator().manual_seed(0)
    items = torch.nn.functional.normalize(torch.randn(6, 4, generator=generator), dim=-1)
    users = torch.nn.functional.normalize(torch.randn(3, 4, generator=generator), dim=-1)
    targets = torch.tensor([1, 4, 5])
    even = torch.full((6,), math.log(1 / 5))
    loss = in_batch_loss(users, targets, torch.arange(1, 6), items, even, temperature=0.2)
    full = torch.nn.functional.cross_entropy(users @ items[1:].T / 0.2, targets - 1)
    torch.testing.assert_close(loss, full)


def test_features_can_be_left_out(world_split):
    def tables(features):
        method = DualEncoder(
            DualEncoderSettings.model_validate(
                {"features": features, "fit": {"epochs": 0.2, "looks": 0, "history": 8}}
            )
        )
        method.fit(world_split.train, context(world_split))
        return {name for name in method.state() if name.startswith("embedding.tables.")}

    assert tables(()) == {"embedding.tables.item.weight"}
    assert tables(None) == {f"embedding.tables.{n}.weight" for n in ("item", "year", "genres")}
