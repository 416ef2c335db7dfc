"""Tuning must not learn that items without training events never come."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.schema import FeatureSchema
from tests.tiny_model import LENGTH, TITLES, make_catalog, make_histories
from tests.userllm.own_rows import tiny_settings
from userllm.config import TransformerSettings
from userllm.decoding import Prior
from userllm.decoding.likelihoods import item_likelihood
from userllm.decoding.trie import TitleTrie
from userllm.encoder.unmet import among_met, unmet_items, without_unmet
from userllm.encoder.user_encoder import UserEncoder
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM

COUNT = len(TITLES)
SIZE = TransformerSettings(width=16, layers=1, heads=2, dropout=0.0)


def barring(*items: int) -> Tensor:
    unmet = torch.zeros(COUNT + 1, dtype=torch.bool)
    unmet[list(items)] = True
    return unmet


def log_probs_of_all(model: UserLLM, unmet: Tensor | None, drawn: Tensor | None = None) -> Tensor:
    """Log-probability of every item after one history, with unmet items left out."""
    histories = make_histories([4])
    encoded = model.encoder.encode(histories)
    items = torch.arange(1, COUNT + 1).unsqueeze(0)
    views = encoded.latest.expand(1, COUNT)
    context = model.context(encoded.states, encoded.mask, views)
    prior = model.prior(model.trie, encoded.at_latest().expand(COUNT, -1))
    prior = without_unmet(prior, model.trie, unmet, items, drawn)
    kept = torch.ones_like(items, dtype=torch.bool)
    return item_likelihood(model, context, model.query, items, kept, prior)[0]


@pytest.fixture(params=["plain", "with the encoder's prior"])
def model(request, schema: FeatureSchema, llm: LanguageModel) -> UserLLM:
    torch.manual_seed(0)
    encoder = UserEncoder(schema, SIZE, LENGTH)
    settings = tiny_settings(encoder_prior=request.param != "plain")
    model = UserLLM(encoder, llm, settings, make_catalog()).eval()
    if model.volume is not None:
        torch.nn.init.constant_(model.volume, 0.2)
    return model


@torch.no_grad()
@pytest.mark.parametrize("cold", [(2,), (7, 8), (9, 10, 11), (1, 4, 6, 11)])
def test_the_others_share_all_probability(model: UserLLM, cold: tuple[int, ...]) -> None:
    unmet = barring(*cold)
    log_probs = log_probs_of_all(model, unmet)
    met = ~unmet[1:]
    whole = log_probs_of_all(model, None)
    assert whole.exp().sum().item() == pytest.approx(1, abs=1e-5)
    total = log_probs[met].exp().sum()
    # Items 1 and 3 share a title, and its probability: a cold twin keeps its half of it.
    twin = log_probs[2].exp() if 1 in cold else 0
    assert (total + twin).item() == pytest.approx(1, abs=1e-5)


@torch.no_grad()
def test_between_the_others_nothing_changes_below_a_node(model: UserLLM) -> None:
    """At a node the odds of two children are what they were."""
    whole, rest = log_probs_of_all(model, None), log_probs_of_all(model, barring(11))
    # Star Trek's other title stays; against Star Wars it lost what First Contact had.
    assert rest[9] > whole[9]
    torch.testing.assert_close(rest[8], whole[8])
    torch.testing.assert_close(rest[6] - rest[7], whole[6] - whole[7])


def test_an_unmet_item_is_not_pushed_down(model: UserLLM) -> None:
    """To say item 10 is taught against item 11, its neighbour, only where that may come."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]

    def slope(value: Tensor) -> list[Tensor]:
        found = torch.autograd.grad(value, weights, allow_unused=True)
        return [torch.zeros(()) if part is None else part for part in found]

    log_probs = log_probs_of_all(model, None)
    odds = slope(log_probs[10] - log_probs[9])

    def change_of_odds(unmet: Tensor | None) -> float:
        """Of a small step that makes item 10 likelier."""
        better = slope(log_probs_of_all(model, unmet)[9])
        pairs = zip(odds, better, strict=True)
        return sum(float((one * other).sum()) for one, other in pairs)

    # Both know other nodes, where the weights are the same; only one knows where the two part.
    assert change_of_odds(None) < change_of_odds(barring(11)) - 1e-3


def test_where_nothing_else_may_come_nothing_is_taught(model: UserLLM) -> None:
    everything_else = ~barring(0, 10)
    loss = -log_probs_of_all(model, everything_else)[9]
    assert loss.item() == pytest.approx(0, abs=1e-6)
    loss.backward()
    assert not any(p.grad.abs().max() > 1e-5 for p in model.parameters() if p.grad is not None)


@torch.no_grad()
def test_a_view_whose_item_is_unmet_sees_the_whole_catalogue(model: UserLLM) -> None:
    cold = barring(2, 7, 11)
    torch.testing.assert_close(
        log_probs_of_all(model, cold)[cold[1:]], log_probs_of_all(model, None)[cold[1:]]
    )


@torch.no_grad()
def test_a_target_drawn_from_the_encoder_speaks_of_the_whole_catalogue(model: UserLLM) -> None:
    cold, drawn = barring(2, 7, 11), torch.arange(COUNT) % 2 == 0
    found = log_probs_of_all(model, cold, drawn.unsqueeze(0))
    torch.testing.assert_close(found[drawn], log_probs_of_all(model, None)[drawn])
    torch.testing.assert_close(found[~drawn], log_probs_of_all(model, cold)[~drawn])


def test_gradients_stay_finite(model: UserLLM) -> None:
    log_probs = log_probs_of_all(model, barring(1, 2, 3, 11))
    (-log_probs[[3, 7]].sum()).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_without_unmet_items_the_prior_is_handed_back(trie: TitleTrie) -> None:
    items = torch.tensor([[1, 2]])
    assert without_unmet(None, trie, None, items) is None
    prior = Prior(torch.zeros(2, len(trie.edge_token)), torch.ones(()))
    assert without_unmet(prior, trie, None, items) is prior


def test_only_an_encoder_that_reads_text_has_items_to_leave_out(schema: FeatureSchema) -> None:
    met = np.array([1, 2, 2, 5])
    assert unmet_items(UserEncoder(schema, SIZE, LENGTH), met) is None
    reader = UserEncoder(schema, SIZE, LENGTH, 4)
    unmet = unmet_items(reader, met)
    assert unmet is not None
    assert unmet.nonzero().flatten().tolist() == [n for n in range(1, COUNT + 1) if n not in met]
    assert unmet_items(reader, np.arange(1, COUNT + 1)) is None


def test_an_item_head_leaves_them_out_too() -> None:
    whole = torch.randn(3, COUNT + 1).log_softmax(dim=1)
    unmet, items = barring(2, 5), torch.tensor([1, 3, 4])
    rest = among_met(whole, unmet, items)
    torch.testing.assert_close(rest[:, ~unmet].exp().sum(1), torch.ones(3))
    torch.testing.assert_close(rest[:, 1] - rest[:, 3], whole[:, 1] - whole[:, 3])
    assert torch.equal(rest[:, unmet], whole[:, unmet])
    assert among_met(whole, None, items) is whole
    # One asks for an unmet item, one for a drawn one: both see all.
    mixed = among_met(whole, unmet, torch.tensor([1, 5, 4]), torch.tensor([True, False, False]))
    assert torch.equal(mixed[:2], whole[:2])
    assert torch.equal(mixed[2], rest[2])
