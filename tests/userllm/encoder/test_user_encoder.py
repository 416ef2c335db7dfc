from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.data.division import Split
from benchmark.errors import UserError
from benchmark.schema import FeatureSchema, number
from benchmark.types import HistoryBatch
from tests.tiny_model import LENGTH, WIDTH, make_histories
from tests.userllm.training.test_training import Quiet
from userllm.config import TransformerSettings, UserEncoderSettings
from userllm.encoder.objectives import NextEventObjective
from userllm.encoder.pretraining import new_encoder, pretrain
from userllm.encoder.user_encoder import UserEncoder


def changed(batch: HistoryBatch, row: int, place: int) -> HistoryBatch:
    features = {name: value.clone() for name, value in batch.features.items()}
    for value in features.values():
        value[row, place] = value[row, place] % 4 + 1
    return HistoryBatch(features, batch.mask)


def test_a_later_event_cannot_change_an_earlier_state(encoder: UserEncoder) -> None:
    batch = make_histories([6, 6])
    before, after = encoder(batch), encoder(changed(batch, 0, 4))
    assert torch.equal(before[0, :4], after[0, :4])
    assert not torch.allclose(before[0, 4], after[0, 4])
    assert torch.equal(before[1], after[1])


def test_padding_cannot_change_a_state(encoder: UserEncoder) -> None:
    batch = make_histories([3, 5])
    before, after = encoder.embed(batch), encoder.embed(changed(batch, 0, 4))
    torch.testing.assert_close(before, after)
    short = HistoryBatch({n: v[:1, :3] for n, v in batch.features.items()}, batch.mask[:1, :3])
    torch.testing.assert_close(encoder.embed(short), before[:1], atol=1e-5, rtol=1e-5)


def test_an_unknown_value_is_the_same_as_no_value(encoder: UserEncoder) -> None:
    batch = make_histories([4])
    features = dict(batch.features)
    features["rating"] = torch.zeros_like(features["rating"])
    features["genres"] = torch.zeros_like(features["genres"])
    vectors = encoder.embedding(features)
    only_item = encoder.embedding.tables["item"](features["item"])
    torch.testing.assert_close(vectors, only_item)


def test_the_number_of_values_does_not_scale_a_multi_valued_feature(encoder: UserEncoder) -> None:
    features = dict(make_histories([1]).features)
    one, twice = dict(features), dict(features)
    one["genres"] = torch.tensor([[[2, 0, 0]] * 6])
    twice["genres"] = torch.tensor([[[2, 2, 0]] * 6])
    torch.testing.assert_close(encoder.embedding(one), encoder.embedding(twice))


def test_item_log_probs_are_a_distribution_over_the_items(encoder: UserEncoder) -> None:
    log_probs = encoder.item_log_probs(encoder.embed(make_histories([1, 6, 0])))
    assert torch.isneginf(log_probs[:, 0]).all()
    torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(3))


def test_the_objective_has_one_loss_a_feature_and_ignores_unknown_values(
    encoder: UserEncoder,
) -> None:
    objective = NextEventObjective(encoder, auxiliary=0.5)
    states = torch.randn(2, encoder.width)
    known = {"item": torch.tensor([1, 2]), "rating": torch.tensor([3, 4])}
    known["genres"] = torch.tensor([[1, 2, 0], [4, 0, 0]])
    losses = objective.feature_losses(states, known)
    assert set(losses) == {"item", "rating", "genres"}
    unknown = {**known, "rating": torch.tensor([3, 0])}
    single = {name: value[:1] for name, value in known.items()}
    torch.testing.assert_close(
        objective.feature_losses(states, unknown)["rating"],
        objective.feature_losses(states[:1], single)["rating"],
    )


def test_training_loss_falls_and_reaches_every_table(encoder: UserEncoder) -> None:
    objective = NextEventObjective(encoder, auxiliary=0.5)
    batch = make_histories([6, 4, 5])
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.02)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = objective.training_loss(batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in objective.parameters())


def test_a_near_miss_in_a_number_costs_less_than_a_far_one(schema: FeatureSchema) -> None:
    with_price = FeatureSchema((*schema.features, number("price", (1.0, 2.0, 5.0, 9.0))))
    size = TransformerSettings(width=WIDTH, layers=1, heads=2, dropout=0.0)
    encoder = UserEncoder(with_price, size, LENGTH)
    objective = NextEventObjective(encoder, auxiliary=0.5)
    head = objective.heads["price"]
    states = torch.zeros(1, encoder.width)
    losses = []
    for said in range(5):
        with torch.no_grad():
            head.bias.copy_(4.0 * nn.functional.one_hot(torch.tensor(said), 5))  # type: ignore[operator]
        found = objective.feature_losses(states, targets(price=2))
        losses.append(found["price"].item())
    assert losses[1] < losses[0]
    assert losses[1] < losses[2] < losses[3] < losses[4]
    many = objective.feature_losses(states.repeat(2, 1), targets(price=2, more=0))
    assert many["price"].item() == pytest.approx(losses[4])
    assert "price" not in objective.feature_losses(states, targets(price=0))


def targets(price: int, more: int | None = None) -> dict[str, torch.Tensor]:
    prices = torch.tensor([price] if more is None else [price, more])
    ones = torch.ones_like(prices)
    return {
        "item": ones,
        "rating": ones,
        "genres": torch.zeros(len(ones), 3).long(),
        "price": prices,
    }


def test_derived_features_are_read_only_where_asked_for(world_split: Split) -> None:
    log = world_split.train.events
    assert "gap" in log.schema.names

    def read(features: tuple[str, ...] | None) -> tuple[str, ...]:
        encoder = new_encoder(log, UserEncoderSettings(features=features), seed=0)
        return tuple(encoder.embedding.tables)

    assert read(None) == ("item", "rating", "year", "genres")
    assert read(("gap", "rating")) == ("item", "rating", "gap")
    assert read(()) == ("item",)
    with pytest.raises(UserError, match=r"unknown feature 'gaps'.*'gap'"):
        read(("gaps",))


def test_a_time_gap_is_learnt_as_any_other_feature(world_split: Split) -> None:
    settings = UserEncoderSettings.model_validate(
        {
            "features": ["gap"],
            "transformer": {"width": 16, "layers": 1},
            "fit": {"history": 8, "epochs": 0.5, "looks": 0},
        }
    )
    encoder = new_encoder(world_split.train.events, settings, seed=0)
    before = encoder.embedding.weight("gap").clone()
    pretrain(encoder, world_split.train.events, settings, seed=0, progress=Quiet())
    assert not torch.equal(before[1:], encoder.embedding.weight("gap")[1:])
