"""Baselines with a label head: they find what is planted, and keep out of each other's way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmark.entries import LABELS
from benchmark.protocols import LabelRanker
from benchmark.registrations import METHODS
from tests.baselines.fitting import histories, wider
from tests.label_world import SMALL, divide, fit, label_context, make_task, taste_world

NAMES = ("sasrec", "bert4rec", "dual_encoder")
SETTINGS = dict.fromkeys(NAMES, SMALL)


@pytest.fixture(scope="module")
def world():
    return taste_world()


@pytest.fixture(scope="module")
def task():
    return make_task(label="window")


@pytest.fixture(scope="module")
def split(world, task):
    return divide(world, task)


@pytest.fixture(scope="module")
def where(world, task, split, tmp_path_factory):
    return label_context(world, task, split, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    for module in METHODS[request.param].requires:
        pytest.importorskip(module)
    return request.param


@pytest.fixture(scope="module")
def fitted(name, split, where):
    return fit(name, split, where, SETTINGS[name])


def test_finds_the_planted_preference(fitted, world, task, split, where):
    popular, _ = fit("popularity", split, where)
    blind = task.evaluate(popular, split, world, "include")
    found = task.evaluate(fitted[0], split, world, "include")
    for metric in ("recall@1", "macro_f1"):
        assert found.intervals[metric][0] > blind.intervals[metric][1]


def test_reports_every_stage_and_which_encoder_was_kept(fitted):
    report = fitted[1]
    assert [stage.name for stage in report.stages] == ["train", "label_head", "label_tune"]
    assert all(stage.steps > 0 and stage.seconds > 0 for stage in report.stages)
    assert report.stages[1].steps == SMALL["label"]["steps"]
    assert report.parameters >= report.trained_parameters > 0
    assert "kept the encoder" in report.notes[0]


def test_the_state_is_the_encoders_and_the_heads(fitted, task, world, split):
    method, report = fitted
    assert isinstance(method, LabelRanker)
    assert LABELS in METHODS["sasrec"].capabilities
    parts = {key.partition(".")[0] for key in method.state()}
    assert parts == {"encoder", "head"}
    assert sum(w.numel() for w in method.state().values()) >= report.parameters


def test_scores_are_log_probabilities_that_padding_and_batch_do_not_change(
    fitted, world, task, split
):
    method, goal = fitted[0], task.asked_of(split.train)
    batch = histories(world, rows=6, length=5)
    scores = method.rank_labels(batch, goal)
    assert scores.shape == (6, 6)
    torch.testing.assert_close(scores.exp().sum(dim=1), torch.ones(6))
    alone = torch.cat([method.rank_labels(batch.rows(slice(i, i + 1)), goal) for i in range(6)])
    torch.testing.assert_close(alone, scores, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        method.rank_labels(wider(batch, 3), goal), scores, atol=1e-4, rtol=1e-4
    )


def test_next_items_are_trained_once_on_what_is_shared_whatever_the_label_settings(
    name, fitted, split, where
):
    label = {**SMALL["label"], "epochs": 0, "steps": 5}
    method, report = fit(name, split, where, {**SMALL, "label": label})
    assert [(s.name, s.reused) for s in report.stages] == [("train", True), ("label_head", False)]
    assert "frozen" in report.notes[0]
    head = sum(w.numel() for key, w in method.state().items() if key.startswith("head."))
    assert report.trained_parameters == head
    # Fitted for items alone on the same events, it is the same model before it got a head.
    shared, general = where.for_sharing(split.train)
    alone, of_items = fit(name, replace(split, train=shared), general, SMALL)
    assert of_items.stages[0].reused
    weights = method.labels.encoder.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in alone.state().items())


def test_fitting_for_labels_again_gives_the_same_weights_and_another_seed_others(
    name, split, world, task, where
):
    short = {**SMALL, "label": {**SMALL["label"], "steps": 5, "epochs": 0.5}}
    first, second = (fit(name, split, where, short)[0].state() for _ in range(2))
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    other = fit(name, split, replace(where, seed=1), short)[0].state()
    assert any(not torch.equal(value, other[key]) for key, value in first.items())


def test_no_held_out_event_has_a_say(name, world, task, split, where, tmp_path):
    """Other items at each user's held-out test events change nothing that is fitted."""
    log = world.events
    items = log.items.copy()
    for end in log.indptr[1:]:
        items[end - 5 : end] = items[end - 5 : end] % len(world.catalog) + 1
    assert not np.array_equal(items, log.items)
    other = replace(world, events=replace(log, columns={**log.columns, "item": items}))
    short = {**SMALL, "label": {**SMALL["label"], "steps": 5, "epochs": 0.5}}
    divided = divide(other, task)
    theirs = fit(name, divided, label_context(other, task, divided, tmp_path), short)[0].state()
    mine = fit(name, split, where, short)[0].state()
    assert all(torch.equal(value, theirs[key]) for key, value in mine.items())
