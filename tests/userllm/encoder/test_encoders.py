"""What holds for whatever stands in the encoder slot of the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.events import EventLog
from benchmark.schema import ITEM, FeatureSchema
from benchmark.types import HistoryBatch
from tests.tiny_model import LENGTH, TITLES, WIDTH, make_catalog, make_histories
from tests.userllm.training.test_training import Quiet
from userllm.config import UserLLMSettings
from userllm.decoding.likelihoods import item_likelihood
from userllm.decoding.trie import TitleTrie
from userllm.encoder.event_encoder import Encoded, EventEncoder
from userllm.encoder.user_encoder import UserEncoder
from userllm.fitting import Fitting, fit
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM
from userllm.stages import Tuning


class BothWays(EventEncoder):
    """Every state knows every event, and a state of its own stands behind the last."""

    causal = False

    def __init__(self, schema: FeatureSchema) -> None:
        super().__init__()
        self.schema, self.history, self.width = schema, LENGTH, WIDTH
        self.items = nn.Embedding(schema.num_items + 1, WIDTH, padding_idx=0)

    @property
    def item_table(self) -> Tensor:
        return self.items.weight

    def encode(self, histories: HistoryBatch) -> Encoded:
        vectors = self.items(histories.features[ITEM])
        behind = nn.functional.pad(vectors, (0, 0, 0, 1))
        known = torch.arange(behind.shape[1]) <= histories.lengths.unsqueeze(1)
        return Encoded(behind + vectors.sum(dim=1, keepdim=True), known, histories.lengths)


@pytest.fixture(params=["causal", "both_ways"])
def any_encoder(request: Any, schema: FeatureSchema, encoder: UserEncoder) -> EventEncoder:
    torch.manual_seed(3)
    return encoder if request.param == "causal" else BothWays(schema).eval()


def settings(**changes: Any) -> UserLLMSettings:
    fields = {"fusion": {"heads": 2}, "align": {"steps": 1, "batch_size": 4}}
    return UserLLMSettings.model_validate(
        {**fields, "tune": {"targets": 60, "windows": 4, "looks": 0}, **changes}
    )


def log(schema: FeatureSchema) -> EventLog:
    rng = np.random.default_rng(0)
    lengths = np.array([7, 5, 9, 4])
    columns = {name: rng.integers(1, 6, lengths.sum()) for name in (ITEM, "rating")}
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    genres = {"genres": make_catalog().columns["genres"]}
    return EventLog(schema, indptr, columns, genres, np.arange(lengths.sum()))


def said(model: UserLLM, trie: TitleTrie, batch: HistoryBatch, positions: Tensor) -> Tensor:
    """Log-probability of the last item at some positions, `[B, P]`, as tuning asks for it."""
    context, views = Tuning(model, positions.shape[1])._contexts(batch, positions)
    rows = context.mask.shape[:2]
    items = torch.full(rows, len(TITLES))
    prior = model.prior(trie, views)
    kept = torch.ones(rows, dtype=torch.bool)
    return item_likelihood(model, context, model.query, items, kept, prior).view_as(positions)


def opened(encoder: EventEncoder, llm: LanguageModel, **changes: Any) -> UserLLM:
    """A model that listens: gates and volume are not at zero."""
    torch.manual_seed(4)
    model = UserLLM(encoder, llm, settings(**changes), make_catalog()).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "gate" in name or name == "volume":
                weight.fill_(0.1)
    return model


VARIANTS: list[dict[str, Any]] = [
    {},
    {"encoder_prior": True},
    {"fusion": {"kind": "soft_prompt"}},
    {"projector": {"latents": 2}},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_no_position_is_shown_a_later_event(
    any_encoder: EventEncoder, llm: LanguageModel, trie: TitleTrie, changes: dict[str, Any]
) -> None:
    model = opened(any_encoder, llm, **changes)
    batch = make_histories([6, 6])
    later = {name: value.clone() for name, value in batch.features.items()}
    for value in later.values():
        value[:, 3:] = value[:, 3:] % 4 + 1
    changed = HistoryBatch(later, batch.mask)
    positions = torch.tensor([[0, 2, 5], [1, 2, 4]])
    before, after = (said(model, trie, each, positions) for each in (batch, changed))
    torch.testing.assert_close(before[:, :2], after[:, :2], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(before[:, 2], after[:, 2], atol=1e-3)


@pytest.mark.parametrize("changes", VARIANTS)
def test_a_window_at_once_says_what_its_histories_say_one_by_one(
    encoder: UserEncoder, llm: LanguageModel, trie: TitleTrie, changes: dict[str, Any]
) -> None:
    model = opened(encoder, llm, **changes)
    batch = make_histories([6, 4])
    positions = torch.tensor([[0, 2, 5], [1, 2, 3]])
    at_once = said(model, trie, batch, positions)
    encoder.causal = False
    one_by_one = said(model, trie, batch, positions)
    torch.testing.assert_close(at_once, one_by_one, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "moves"),
    [
        ({}, True),
        ({"strategy": "enc"}, True),
        ({"strategy": "proj"}, False),
        ({"freeze_encoder": True}, False),
        ({"strategy": "lora", "freeze_encoder": True}, False),
    ],
)
def test_a_fit_moves_the_encoder_or_leaves_it_bit_identical(
    any_encoder: EventEncoder,
    llm: LanguageModel,
    schema: FeatureSchema,
    changes: dict[str, Any],
    moves: bool,
) -> None:
    before = {name: value.clone() for name, value in any_encoder.state_dict().items()}
    model = UserLLM(any_encoder, llm, settings(**changes), make_catalog())
    fit(model, log(schema), Fitting(0, Quiet()))
    after = any_encoder.state_dict()
    same = {name for name, value in before.items() if torch.equal(value, after[name])}
    assert (same == before.keys()) == (not moves)
