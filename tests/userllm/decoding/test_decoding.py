"""Exact ranking agrees with scoring every title alone, written down as plainly as can be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.tiny_model import LENGTH, TITLES, make_catalog, make_histories
from userllm.config import UserLLMSettings
from userllm.decoding import beam_search, catalogue_log_probs, top_k
from userllm.decoding.likelihoods import item_likelihood
from userllm.decoding.trie import TitleTrie
from userllm.encoder.user_encoder import UserEncoder
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM

VARIANTS = {
    "cross_attention": {},
    "every_second_layer": {"fusion": {"every": 2, "heads": 2}},
    "perceiver": {"projector": {"latents": 3, "depth": 2}},
    "soft_prompt": {"fusion": {"kind": "soft_prompt"}},
    "perceiver_soft_prompt": {
        "fusion": {"kind": "soft_prompt", "heads": 2},
        "projector": {"latents": 3},
    },
}


def build(encoder: UserEncoder, llm: LanguageModel, variant: str) -> UserLLM:
    torch.manual_seed(3)
    fields = {"query": "Next:", **VARIANTS[variant]}
    fields["fusion"] = {"heads": 2, **fields.get("fusion", {})}  # type: ignore[dict-item]
    model = UserLLM(encoder, llm, UserLLMSettings.model_validate(fields), make_catalog()).eval()
    for name, weight in model.named_parameters():
        if "gate" in name or "recency" in name:
            torch.nn.init.uniform_(weight, 0.3, 1.0)
    return model


@pytest.fixture(params=list(VARIANTS))
def model(request: pytest.FixtureRequest, encoder: UserEncoder, llm: LanguageModel) -> UserLLM:
    return build(encoder, llm, request.param)


def plainly(model: UserLLM, llm: LanguageModel, one: Tensor) -> Tensor:
    """Log-probability of each title for one user: title by title, token by token."""
    titles = [(*llm.encode(f" {title}"), llm.end_token) for title in TITLES]
    scores = []
    for title in titles:
        total = 0.0
        for position, token in enumerate(title):
            begun = title[:position]
            options = sorted({t[position] for t in titles if t[:position] == begun})
            logits = one(begun)[options].log_softmax(0)
            total += float(logits[options.index(token)])
        shared = sum(t == title for t in titles)
        scores.append(total - float(torch.tensor(float(shared)).log()))
    return torch.tensor(scores)


def next_token_logits(model: UserLLM, row: int, lengths: list[int]):  # type: ignore[no-untyped-def]
    """Logits after the query and some tokens, by an ordinary forward pass of one user."""
    histories = make_histories(lengths).rows(slice(row, row + 1))
    length = lengths[row]
    histories = type(histories)(
        {name: value[:, :length] for name, value in histories.features.items()},
        histories.mask[:, :length],
    )
    last = histories.lengths.unsqueeze(1) - 1
    context = model.context(model.encoder(histories), histories.mask, last)

    def logits(begun: tuple[int, ...]) -> Tensor:
        tokens = torch.tensor([[*model.query.tolist(), *begun]])
        vectors = model.llm.embed_tokens(tokens)
        if model.fusion is None:
            vectors = torch.cat([context.vectors, vectors], dim=1)
            return model.llm.model(inputs_embeds=vectors).logits[0, -1]
        with model.fusion.attend(model.llm, context, torch.zeros_like(tokens)):
            return model.llm.model(input_ids=tokens).logits[0, -1]

    return logits


def test_exact_ranking_equals_scoring_every_title_alone(
    model: UserLLM, llm: LanguageModel, trie: TitleTrie
) -> None:
    lengths = [LENGTH, 2]
    with torch.inference_mode():
        exact = model.catalogue_log_probs(trie, make_histories(lengths))
        for row in range(len(lengths)):
            expected = plainly(model, llm, next_token_logits(model, row, lengths))
            torch.testing.assert_close(exact[row, 1:], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(exact.exp().sum(1), torch.ones(2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("piece", [1, 3])
def test_pieces_of_the_trie_say_what_the_whole_says(
    model: UserLLM, trie: TitleTrie, piece: int
) -> None:
    with torch.inference_mode():
        prompt, _ = model.ask(make_histories([LENGTH, 0, 2]))
        whole = catalogue_log_probs(model.llm, trie, prompt)
        for at_once in (1, 1000):
            cut = catalogue_log_probs(
                model.llm, trie, prompt, piece=piece, positions_at_once=at_once
            )
            torch.testing.assert_close(cut, whole, atol=1e-4, rtol=0)


def test_searches_find_the_first_of_exact(model: UserLLM, trie: TitleTrie) -> None:
    histories = make_histories([LENGTH, 1, 0, 3])
    exclude = torch.zeros(4, trie.num_items + 1, dtype=torch.bool)
    exclude[0, histories.features["item"][0]] = True
    with torch.inference_mode():
        exact = model.catalogue_log_probs(trie, histories).masked_fill(exclude, -torch.inf)
        prompt = model.ask(histories)[0]
        found = top_k(model.llm, trie, prompt, 3, exclude, at_once=2)
        beam = beam_search(model.llm, trie, prompt, 3, exclude, width=trie.num_items)
    for got in (found, beam):
        torch.testing.assert_close(got.log_probs, exact.topk(3).values, atol=1e-4, rtol=0)
        torch.testing.assert_close(exact.gather(1, got.ids), got.log_probs, atol=1e-4, rtol=0)


def test_training_scores_what_ranking_ranks(model: UserLLM, trie: TitleTrie) -> None:
    histories = make_histories([LENGTH, 4])
    positions = torch.tensor([[5, 2, 0], [3, 1, 0]])
    items = torch.tensor([[2, 7, 4], [11, 1, 5]])
    kept = torch.tensor([[True, True, True], [True, False, True]])
    with torch.inference_mode():
        context = model.context(model.encoder(histories), histories.mask, positions)
        got = item_likelihood(model, context, model.query, items, kept)
        for view in range(3):
            cut = histories.mask & (torch.arange(LENGTH) <= positions[:, view : view + 1])
            features = {
                name: value * (cut if value.ndim == 2 else cut.unsqueeze(2))
                for name, value in histories.features.items()
            }
            exact = model.catalogue_log_probs(trie, type(histories)(features, cut))
            exact = exact.gather(1, items[:, view : view + 1])[:, 0]
            rows = kept[:, view]
            torch.testing.assert_close(got[rows, view], exact[rows], atol=1e-4, rtol=0)


def test_the_batch_does_not_matter(model: UserLLM, trie: TitleTrie) -> None:
    histories = make_histories([1, LENGTH, 3])
    with torch.inference_mode():
        together = model.catalogue_log_probs(trie, histories)
        alone = [model.catalogue_log_probs(trie, histories.rows(slice(i, i + 1))) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)


def test_an_empty_history_still_gives_a_distribution(model: UserLLM, trie: TitleTrie) -> None:
    with torch.inference_mode():
        scores = model.catalogue_log_probs(trie, make_histories([0, 3]))
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(2), atol=1e-4, rtol=0)


def test_with_a_silent_language_model_the_prior_is_the_encoder(
    encoder: UserEncoder, llm: LanguageModel, trie: TitleTrie
) -> None:
    fields = {"fusion": {"heads": 2}, "encoder_prior": True}
    model = UserLLM(encoder, llm, UserLLMSettings.model_validate(fields), make_catalog()).eval()
    histories = make_histories([LENGTH, 3])
    with torch.inference_mode():
        said = model.catalogue_log_probs(trie, histories).exp()
        known = encoder.item_log_probs(encoder.embed(histories)).exp()
    same = [i + 1 for i, title in enumerate(TITLES) if title == "Heat"]
    others = [i + 1 for i, title in enumerate(TITLES) if title != "Heat"]
    torch.testing.assert_close(said[:, others], known[:, others], atol=1e-5, rtol=0)
    torch.testing.assert_close(said[:, same].sum(1), known[:, same].sum(1), atol=1e-5, rtol=0)


def test_training_scores_what_ranking_ranks_with_a_prior(
    encoder: UserEncoder, llm: LanguageModel, trie: TitleTrie
) -> None:
    fields = {"fusion": {"heads": 2}, "encoder_prior": True}
    model = UserLLM(encoder, llm, UserLLMSettings.model_validate(fields), make_catalog()).eval()
    assert model.volume is not None
    torch.nn.init.constant_(model.volume, 0.1)
    histories, items = make_histories([LENGTH, 3]), torch.tensor([[4], [9]])
    last = histories.lengths.unsqueeze(1) - 1
    with torch.inference_mode():
        states = model.encoder(histories)
        prior = model.prior(trie, encoder.embed(histories))
        context = model.context(states, histories.mask, last)
        kept = torch.ones_like(items, dtype=torch.bool)
        got = item_likelihood(model, context, model.query, items, kept, prior)
        exact = model.catalogue_log_probs(trie, histories).gather(1, items)
    torch.testing.assert_close(got, exact, atol=1e-4, rtol=0)
