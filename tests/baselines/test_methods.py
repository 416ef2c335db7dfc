"""Properties that every trained baseline must have; tests/contract asks whether they learn."""

from __future__ import annotations

import pytest
import torch

from baselines.bert4rec import Bert4Rec
from baselines.config import (
    Bert4RecSettings,
    DualEncoderSettings,
    PopularitySettings,
    RecBoleSettings,
    SasRecSettings,
)
from baselines.dual_encoder import DualEncoder
from baselines.popularity import Popularity
from baselines.recbole_bridge import RecBoleMethod
from baselines.sasrec import SasRec
from benchmark.protocols import CandidateRanker
from benchmark.types import Candidates
from tests.baselines.fitting import context, histories, scores, validation, wider

SIZE = {"width": 32, "layers": 1, "heads": 2, "dropout": 0.0}
FIT = {"history": 12, "batch_size": 16, "epochs": 3, "looks": 0}
FAST = {"learning_rate": 1e-2}
COMMON = {"transformer": SIZE, "fit": FIT, "optimizer": FAST}
MAKERS = {
    "sasrec": lambda **fit: SasRec(_settings(SasRecSettings, fit)),
    "bert4rec": lambda **fit: Bert4Rec(_settings(Bert4RecSettings, fit)),
    "dual_encoder": lambda **fit: DualEncoder(_settings(DualEncoderSettings, fit)),
    "recbole": lambda **fit: RecBoleMethod(
        RecBoleSettings.model_validate(
            {
                "model": "GRU4Rec",
                "fit": {**FIT, "batch_size": 64, **fit},
                "optimizer": FAST,
            }
        )
    ),
}


def _settings(kind, fit):
    return kind.model_validate({**COMMON, "fit": {**FIT, **fit}})


@pytest.fixture(scope="module", params=MAKERS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(name, world_split):
    method = MAKERS[name]()
    return method, method.fit(world_split.train, context(world_split))


def test_recbole_models_find_the_planted_preference(world_split):
    popular = Popularity(PopularitySettings())
    popular.fit(world_split.train, context(world_split))
    method = MAKERS["recbole"](epochs=12)
    method.fit(world_split.train, context(world_split))
    base = validation(popular, world_split)["recall@10"]
    assert validation(method, world_split)["recall@10"] > 1.5 * base


def test_reports_what_it_took(fitted):
    method, report = fitted
    assert isinstance(method, CandidateRanker)
    (stage,) = report.stages
    assert stage.steps > 0
    assert stage.targets > 0
    assert stage.seconds > 0
    assert report.parameters == report.trained_parameters > 0


def test_state_holds_every_weight(fitted):
    method, report = fitted
    weights = method.state()
    assert sum(w.numel() for w in weights.values()) >= report.parameters
    assert all(torch.isfinite(w).all() for w in weights.values() if w.is_floating_point())


def test_padding_changes_nothing(fitted, world):
    method, _ = fitted
    batch = histories(world, rows=6, length=5)
    torch.testing.assert_close(
        scores(method, wider(batch, 4), world), scores(method, batch, world), atol=1e-4, rtol=1e-4
    )


def test_scores_do_not_depend_on_the_batch(fitted, world):
    method, _ = fitted
    batch = histories(world, rows=6, length=5)
    alone = torch.cat([scores(method, batch.rows(slice(i, i + 1)), world) for i in range(6)])
    torch.testing.assert_close(alone, scores(method, batch, world), atol=1e-4, rtol=1e-4)


def test_distributions_sum_to_one(fitted, world):
    method, _ = fitted
    batch = histories(world, rows=6, length=5)
    ranking = method.rank(batch, Candidates(len(world.catalog)), 10)
    if ranking.log_probs:
        total = ranking.all_scores[:, 1:].exp().sum(dim=1)
        torch.testing.assert_close(total, torch.ones(6))


def test_an_empty_history_is_ranked(fitted, world):
    method, _ = fitted
    start = world.events.indptr[:2]
    batch = world.events.gather(start, start, 5)
    assert method.rank(batch, Candidates(len(world.catalog)), 10).ids.shape == (2, 10)


def test_same_seed_same_weights(name, world_split):
    first, second, other = (_briefly(name, world_split, seed) for seed in (3, 3, 4))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def _briefly(name, split, seed):
    method = MAKERS[name](epochs=0.5)
    method.fit(split.train, context(split, seed))
    return method.state()
