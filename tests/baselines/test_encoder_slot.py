"""A baseline in the encoder slot: the same distribution as its own row, on the encoder's terms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmark.registrations import ENCODERS, METHODS
from benchmark.registry import load
from benchmark.schema import ITEM
from benchmark.types import HistoryBatch
from tests.baselines.fitting import context, histories, scores, wider
from userllm.encoder.event_encoder import EventEncoder

LENGTH = 8
TINY: dict[str, Any] = {
    "transformer": {"width": 16, "layers": 1, "heads": 2, "dropout": 0.1},
    "fit": {"history": LENGTH, "batch_size": 16, "epochs": 1, "looks": 1},
    "optimizer": {"learning_rate": 1e-2},
}
NAMES = list(ENCODERS)


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    for module in ENCODERS[request.param].requires:
        pytest.importorskip(module)
    return request.param


def build(name, split, where, *, pretrained=True, **changes):
    entry = ENCODERS[name]
    settings = load(entry.settings).model_validate({**TINY, **changes})
    return entry.load()(split.train, settings, where, pretrained)


@pytest.fixture(scope="module")
def where(world_split):
    return context(world_split)


@pytest.fixture(scope="module")
def built(name, world_split, where):
    return build(name, world_split, where)


@pytest.fixture
def batch(world):
    return histories(world, rows=9, length=LENGTH)


@torch.no_grad()
def ranked(encoder, batch):
    return encoder.item_log_probs(encoder.encode(batch).at_latest())


def test_the_slot_and_the_row_are_one_model_trained_once(name, built, where, world_split, world):
    method = METHODS[name].load()(load(METHODS[name].settings).model_validate(TINY))
    report = method.fit(world_split.train, where)
    assert [stage.reused for stage in report.stages] == [True]
    assert [stage.name for stage in built.stages] == ["encoder"]
    assert replace(report.stages[0], name="encoder", reused=False) == built.stages[0]
    state = built.module.state_dict()
    assert all(torch.equal(state[key], value) for key, value in method.state().items())
    batch = histories(world, rows=9, length=LENGTH)
    torch.testing.assert_close(ranked(built.module, batch), scores(method, batch, world))


def test_states_and_items_share_a_space(built, batch):
    encoder = built.module
    assert isinstance(encoder, EventEncoder)
    states, table = encoder.encode(batch).at_latest(), encoder.item_table
    assert table.shape == (encoder.schema.num_items + 1, encoder.width)
    logits = states @ table.T
    if encoder.item_offset is not None:
        logits = logits + encoder.item_offset
    expected = logits[:, 1:].log_softmax(dim=1)
    torch.testing.assert_close(ranked(encoder, batch)[:, 1:], expected)


@torch.no_grad()
def test_states_follow_from_the_columns_that_it_claims_to_read_alone(name, world_split, batch):
    encoder = build(name, world_split, context(world_split), pretrained=False).module
    before = encoder.encode(batch).states[batch.mask if encoder.causal else ...]
    assert set(encoder.columns_read) <= set(batch.features)
    assert ITEM in encoder.columns_read
    for column, values in batch.features.items():
        cardinality = world_split.train.schema[column].cardinality
        changed = torch.where(values > 0, values % cardinality + 1, values)
        features = {**batch.features, column: changed}
        encoded = encoder.encode(HistoryBatch(features, batch.mask))
        after = encoded.states[batch.mask if encoder.causal else ...]
        assert torch.equal(before, after) == (column not in encoder.columns_read)


def test_padding_cannot_change_a_state(built, world):
    batch = histories(world, rows=6, length=5)
    narrow, wide = built.module.encode(batch), built.module.encode(wider(batch, 3))
    assert torch.equal(narrow.latest, wide.latest)
    assert torch.equal(narrow.mask.sum(dim=1), wide.mask.sum(dim=1))
    torch.testing.assert_close(
        narrow.states[narrow.mask], wide.states[wide.mask], atol=1e-5, rtol=1e-5
    )


def test_a_causal_state_knows_no_later_event_and_another_one_does(built, world):
    encoder = built.module
    batch = histories(world, rows=9, length=LENGTH).rows(slice(LENGTH - 1, LENGTH))
    changed = batch.features[ITEM].clone()
    changed[0, -1] = changed[0, -1] % encoder.schema.num_items + 1
    before = encoder.encode(batch).states[0, : LENGTH - 1]
    after = encoder.encode(HistoryBatch({**batch.features, ITEM: changed}, batch.mask)).states
    same = torch.equal(before, after[0, : LENGTH - 1])
    assert same == encoder.causal


def test_an_empty_history_has_a_distribution(built, world):
    start = world.events.indptr[:2]
    batch = world.events.gather(start, start, LENGTH)
    total = ranked(built.module, batch).exp().sum(dim=1)
    torch.testing.assert_close(total, torch.ones(2))
    assert not built.module.embed(batch).any()


def test_from_scratch_there_is_no_stage_and_the_seed_decides(name, built, world_split, where):
    scratch = build(name, world_split, where, pretrained=False)
    assert scratch.stages == ()
    assert not scratch.module.training
    same = build(name, world_split, where, pretrained=False).module.state_dict()
    state = scratch.module.state_dict()
    assert all(torch.equal(state[key], value) for key, value in same.items())
    for other in (built, build(name, world_split, replace(where, seed=9), pretrained=False)):
        weights = other.module.state_dict()
        assert any(not torch.equal(state[key], value) for key, value in weights.items())


def test_the_log_likelihood_of_the_next_item_reaches_every_part_of_the_encoder(
    name, world_split, where, batch
):
    encoder = build(name, world_split, where, pretrained=False).module
    targets = batch.features[ITEM][:, :1]
    log_probs = encoder.item_log_probs(encoder.encode(batch).at_latest())
    (-log_probs.gather(1, targets).mean()).backward()
    blind = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert not blind


def test_other_settings_are_another_stage(name, built, world_split, where):
    other = build(name, world_split, where, optimizer={"learning_rate": 2e-2})
    assert not other.stages[0].reused
    again = build(name, world_split, where)
    assert again.stages[0].reused
    state = built.module.state_dict()
    assert all(torch.equal(state[k], v) for k, v in again.module.state_dict().items())
