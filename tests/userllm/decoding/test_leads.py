"""The text before a title may differ; what fills it up at the front changes nothing."""

from __future__ import annotations

import pytest
import torch

from tests.tiny_model import LENGTH, TITLES, make_histories
from tests.userllm.decoding.test_decoding import build
from userllm.decoding import (
    Prompt,
    branch_states,
    catalogue_log_probs,
    read_prompt,
    title_layout,
    title_log_probs,
    top_k,
)
from userllm.decoding.trie import TitleTrie
from userllm.encoder.user_encoder import UserEncoder
from userllm.llm.language_model import LanguageModel

QUERY = torch.tensor([5, 9, 30])
LEADS = torch.tensor([[[5, 9, 30], [-1, 7, 8]], [[-1, -1, 4], [6, 6, 2]]])
ITEMS = torch.tensor([[2, 7], [4, 11]])
KEPT = torch.tensor([[True, True], [True, True]])


def filled(lead: torch.Tensor, count: int) -> torch.Tensor:
    return torch.cat([torch.full((*lead.shape[:-1], count), -1), lead], dim=-1)


@torch.inference_mode()
def trained_scores(llm: LanguageModel, trie: TitleTrie, lead: torch.Tensor) -> torch.Tensor:
    layout, choices = title_layout(trie, lead, ITEMS, KEPT)
    states = branch_states(llm, layout)
    return title_log_probs(llm, trie, states, choices, ITEMS)


def test_a_lead_given_to_all_is_the_plain_query(llm: LanguageModel, trie: TitleTrie) -> None:
    for lead in (QUERY.expand(2, 2, -1), filled(QUERY.expand(2, 2, -1), 3)):
        plain, choices = title_layout(trie, QUERY, ITEMS, KEPT)
        given, chosen = title_layout(trie, lead, ITEMS, KEPT)
        for name, value in vars(plain).items():
            assert torch.equal(value, getattr(given, name)), name
        for name, value in vars(choices).items():
            assert torch.equal(value, getattr(chosen, name)), name


def test_training_scores_what_ranking_ranks_after_each_lead(
    llm: LanguageModel, trie: TitleTrie
) -> None:
    got = trained_scores(llm, trie, LEADS)
    for view in range(2):
        with torch.inference_mode():
            exact = catalogue_log_probs(llm, trie, read_prompt(llm, LEADS[:, view], 2))
        expected = exact.gather(1, ITEMS[:, view : view + 1])[:, 0]
        torch.testing.assert_close(got[:, view], expected, atol=1e-4, rtol=0)


def test_a_view_left_out_takes_no_place(llm: LanguageModel, trie: TitleTrie) -> None:
    kept = torch.tensor([[True, False], [False, True]])
    layout, choices = title_layout(trie, LEADS, ITEMS, kept)
    assert set(choices.owner.tolist()) == {0, 3}
    with torch.inference_mode():
        few = title_log_probs(llm, trie, branch_states(llm, layout), choices, ITEMS)
    every = trained_scores(llm, trie, LEADS)
    torch.testing.assert_close(few[kept], every[kept], atol=1e-4, rtol=0)


@pytest.mark.parametrize("count", [1, 4])
def test_filling_at_the_front_changes_nothing(
    llm: LanguageModel, trie: TitleTrie, count: int
) -> None:
    torch.testing.assert_close(
        trained_scores(llm, trie, filled(LEADS, count)), trained_scores(llm, trie, LEADS)
    )
    lead = LEADS[:, 1]
    with torch.inference_mode():
        few = read_prompt(llm, lead, 2)
        more = read_prompt(llm, filled(lead, count), 2)
        assert torch.equal(few.start, more.start)
        exact = [catalogue_log_probs(llm, trie, prompt) for prompt in (few, more)]
        found = [top_k(llm, trie, prompt, 4) for prompt in (few, more)]
    torch.testing.assert_close(*exact, atol=1e-5, rtol=0)
    assert torch.equal(found[0].ids, found[1].ids)
    assert torch.equal(found[0].positions, found[1].positions)


@pytest.mark.parametrize("variant", ["cross_attention", "soft_prompt", "perceiver_soft_prompt"])
def test_filling_is_invisible_behind_a_user_too(
    encoder: UserEncoder, llm: LanguageModel, trie: TitleTrie, variant: str
) -> None:
    model = build(encoder, llm, variant)
    histories = make_histories([LENGTH, 2])

    def prompt() -> Prompt:
        return model.ask(histories)[0]

    with torch.inference_mode():
        plain = catalogue_log_probs(llm, trie, prompt())
        model.query = filled(model.query, 2)
        more = catalogue_log_probs(llm, trie, prompt())
    assert plain.shape == (2, len(TITLES) + 1)
    torch.testing.assert_close(plain, more, atol=1e-4, rtol=0)
