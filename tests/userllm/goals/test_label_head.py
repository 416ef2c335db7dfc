from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from benchmark.goals import NextItemGoal
from tests.baselines.fitting import Silent
from tests.label_world import divide, make_task, taste_world
from userllm.config import LabelHeadSettings, UserEncoderSettings
from userllm.encoder.pretraining import new_encoder
from userllm.goals.label_examples import (
    LabelExamples,
    drawn,
    encoded,
    history_batches,
    state_batches,
    tied_shares,
)
from userllm.goals.label_head import LabelHead, LabelModel, fit_label_head, label_goal

SETTINGS = LabelHeadSettings(batch_size=16, steps=20, epochs=0.2, looks=2)


@pytest.fixture(scope="module")
def train():
    world = taste_world(users=40)
    return divide(world, make_task()).train


@pytest.fixture(scope="module")
def goal(train):
    return make_task().goal(train)


@pytest.fixture
def encoder(train):
    size = {"width": 16, "layers": 1, "heads": 2}
    settings = UserEncoderSettings.model_validate({"transformer": size, "fit": {"history": 12}})
    return new_encoder(train.events, settings, seed=0)


def run(encoder, goal, train, settings=SETTINGS, validate=None, **more):
    return fit_label_head(
        encoder,
        goal,
        train.events,
        settings,
        seed=0,
        progress=Silent(),
        validate=validate,
        **more,
    )


def test_tied_labels_share_what_is_right():
    right = np.array([[True, False, True], [False, True, False]])
    assert tied_shares(right).tolist() == [[0.5, 0, 0.5], [0, 1, 0]]


def test_the_loss_of_tied_labels_is_least_where_they_are_equally_likely():
    shares = tied_shares(np.array([[True, True, False]]))
    head = LabelHead(4, torch.full((3,), 1 / 3))
    states = torch.randn(1, 4)

    def loss(bias):
        head.linear.bias.data = torch.tensor(bias)
        return head.training_loss(LabelExamples(states, shares)).item()

    assert loss([3.0, 3.0, 0.0]) < loss([5.0, 1.0, 0.0])
    assert loss([50.0, 50.0, 0.0]) == pytest.approx(np.log(2), abs=1e-6)


def test_a_fresh_head_says_how_frequent_labels_are():
    shares = torch.tensor([0.7, 0.2, 0.1])
    log_probs = LabelHead(8, shares)(torch.randn(5, 8))
    torch.testing.assert_close(log_probs.exp(), shares.expand(5, 3))


def test_encoded_states_are_those_of_the_encoder(encoder, goal, train):
    log, rows = train.events, slice(0, 40)
    starts, stops = goal.starts[rows], goal.stops[rows]
    states = encoded(encoder, log, starts, stops, torch.device("cpu"))
    expected = encoder.embed(log.gather(starts, stops, encoder.history))
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-4)


def test_batches_hold_histories_with_their_own_labels(goal, train):
    log, count = train.events, len(goal.starts)
    shares = torch.eye(count)
    batches = history_batches(log, goal.starts, goal.stops, shares, 12, 16, seed=1)
    met = []
    for batch in itertools.islice(batches, count // 16):
        rows = batch.shares.argmax(dim=1).numpy()
        expected = log.gather(goal.starts[rows], goal.stops[rows], batch.read.mask.shape[1])
        assert torch.equal(batch.read.features["item"], expected.features["item"])
        lengths = np.minimum(goal.stops[rows] - goal.starts[rows], 12)
        assert batch.read.lengths.tolist() == lengths.tolist()
        assert batch.read.mask.shape[1] == lengths.max()
        met += rows.tolist()
    assert len(set(met)) == len(met) == count // 16 * 16


def test_batches_of_states_keep_state_and_label_together():
    states = torch.arange(10.0)[:, None]
    for batch in itertools.islice(state_batches(states, torch.eye(10), 4, seed=0), 6):
        assert batch.read[:, 0].tolist() == batch.shares.argmax(dim=1).tolist()


def test_examples_are_drawn_evenly_and_only_where_there_are_more():
    assert drawn(5, 9, 0).tolist() == [0, 1, 2, 3, 4]
    rows = drawn(1000, 100, 0)
    assert len(set(rows)) == 100
    assert 400 < rows.mean() < 600


def values(*looks):
    given = iter(looks)
    return lambda model: next(given)


@pytest.mark.parametrize(
    ("looks", "tuned"),
    [((0.1, 0.5, 0.4, 0.6), True), ((0.1, 0.5, 0.4, 0.3), False), ((0.5, 0.4, 0.5, 0.5), False)],
)
def test_keeps_what_validates_better(encoder, goal, train, looks, tuned):
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    fit = run(encoder, goal, train, validate=values(*looks))
    moved = any(not torch.equal(w, before[n]) for n, w in encoder.state_dict().items())
    assert moved == tuned
    assert ("learning with the head" in fit.note) == tuned
    assert [stage.name for stage in fit.stages] == ["label_head", "label_tune"]
    assert not fit.model.training


def test_without_looks_the_tuned_encoder_stays_and_without_passes_the_frozen(encoder, goal, train):
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    frozen = run(encoder, goal, train, SETTINGS.model_copy(update={"epochs": 0}))
    assert all(torch.equal(w, before[n]) for n, w in encoder.state_dict().items())
    assert [stage.name for stage in frozen.stages] == ["label_head"]
    run(encoder, goal, train)
    assert any(not torch.equal(w, before[n]) for n, w in encoder.state_dict().items())


def test_learns_from_as_many_examples_as_it_is_allowed(encoder, goal, train):
    few = SETTINGS.model_copy(update={"examples": 24, "batch_size": 8, "epochs": 2})
    fit = run(encoder, goal, train, few)
    assert [stage.steps for stage in fit.stages] == [20, 6]
    assert [stage.targets for stage in fit.stages] == [160, 48]


def test_goes_on_after_an_interrupt_as_if_there_had_been_none(encoder, goal, train, tmp_path):
    start = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    whole = run(encoder, goal, train, validate=values(1, 2, 3, 4)).model.state_dict()
    whole = {name: weight.clone() for name, weight in whole.items()}
    encoder.load_state_dict(start)

    looks = iter((1, 2, 3))

    def interrupted(model):
        for value in looks:
            return value
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(encoder, goal, train, validate=interrupted, checkpoints=tmp_path)
    encoder.load_state_dict(start)
    # The head is not trained again, and what had begun behind it goes on or begins anew.
    again = run(encoder, goal, train, validate=values(3, 4), checkpoints=tmp_path)
    assert [point.value for point in again.stages[0].curve] == [1, 2]
    assert all(torch.equal(w, whole[n]) for n, w in again.model.state_dict().items())


def test_the_model_says_log_probabilities_and_an_empty_history_has_some(encoder, goal, train):
    model = LabelModel(encoder, LabelHead(encoder.width, torch.full((6,), 1 / 6))).eval()
    log = train.events
    begins = log.indptr[:3]
    scores = model.rank_labels(log.gather(begins, begins + np.arange(3), 4), goal)
    torch.testing.assert_close(scores.exp().sum(dim=1), torch.ones(3))


def test_the_goal_that_asks_for_labels_is_found(goal):
    assert label_goal((NextItemGoal(), goal)) is goal
    assert label_goal((NextItemGoal(),)) is None
