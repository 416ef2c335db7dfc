from __future__ import annotations

import inspect
import os
import random
import sys

import numpy as np
import pytest
import torch
import yaml

from baselines.config import RecBoleSettings
from baselines.recbole_bridge import RecBoleMethod, model_class, settings_of
from baselines.recbole_models import MODELS
from baselines.recbole_own import own_training
from benchmark.types import HistoryBatch
from tests.baselines.fitting import context, histories, scores


def _fit(name, split, **options):
    settings = {"model": name, "options": options}
    settings["fit"] = {"history": 8, "batch_size": 16, "epochs": 0.06, "looks": 0}
    method = RecBoleMethod(RecBoleSettings.model_validate(settings))
    return method, method.fit(split.train, context(split))


def _untouched():
    return (
        {name: id(value) for name, value in vars(np).items()},
        dict(os.environ),
        list(sys.argv),
        os.getcwd(),
        sorted(os.listdir()),
        dict(yaml.FullLoader.yaml_implicit_resolvers),
        torch.are_deterministic_algorithms_enabled(),
    )


def test_importing_its_models_leaves_anomaly_detection_off():
    model_class("SINE")  # whose file turns it on
    assert not torch.is_anomaly_enabled()


@pytest.mark.parametrize("name", [name for name, reason in MODELS.items() if not reason])
def test_a_working_model_learns_and_ranks(name, world, world_split):
    method, report = _fit(name, world_split)
    assert report.stages[0].steps >= 3
    assert len(method.state()) > 0
    found = scores(method, histories(world, 4, 8), world)
    assert found.shape == (4, len(world.catalog) + 1)
    assert torch.isfinite(found[:, 1:]).all()


@pytest.mark.parametrize("name", [name for name, reason in MODELS.items() if reason])
def test_a_model_said_not_to_work_does_not(name, world_split):
    assert len(MODELS[name]) > 20
    with pytest.raises((AttributeError, KeyError)):
        _fit(name, world_split)


def test_the_table_is_complete():
    theirs = sys.modules[model_class("SASRec").__module__.rpartition(".")[0]]
    classes = {name for name, value in vars(theirs).items() if inspect.isclass(value)}
    assert classes == set(MODELS)


def test_leaves_the_process_as_it_was(world, world_split, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["run", "--learning_rate=nonsense", "--epochs=__import__('x')"]
    )
    before, state = _untouched(), (random.getstate(), np.random.get_state()[1].tolist())
    _fit("FEARec", world_split)
    assert _untouched() == before
    assert (random.getstate(), np.random.get_state()[1].tolist()) == state


def test_strings_are_not_evaluated():
    config = settings_of("SASRec", 8, {"hidden_act": "1 + 1"}, num_items=40)
    assert config["hidden_act"] == "1 + 1"


def test_an_unknown_option_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'hidden_size'"):
        settings_of("SASRec", 8, {"hiden_size": 3}, num_items=40)


def test_options_reach_the_model(world_split):
    method, _ = _fit("SASRec", world_split, hidden_size=8, inner_size=16)
    assert method.learner.model.item_embedding.weight.shape[1] == 8


def test_a_user_unseen_in_training_is_ranked(world, world_split):
    method, _ = _fit("FPMC", world_split)
    batch = histories(world, 3, 8)
    nobody = HistoryBatch(batch.features, batch.mask)
    assert torch.isfinite(scores(method, nobody, world)[:, 1:]).all()


def test_a_run_of_it_never_imports_ray(world_split):
    _fit("GRU4Rec", world_split)
    imported = {name.partition(".")[0] for name in sys.modules}
    assert "recbole" in imported
    assert "ray" not in imported


def test_its_own_trainer_runs_and_leaves_nothing(world):
    before = _untouched()
    result = own_training(world.events, "BERT4Rec", 8, epochs=1, seed=0)
    assert _untouched() == before
    assert 0 <= result.recall <= 1
    assert result.seconds > 0
    # One sample of every prefix but the first; validation and test events are no targets.
    assert result.samples == world.events.num_events - 3 * world.events.num_users
