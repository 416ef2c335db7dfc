"""How users and the trie are cut changes no answer."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.userllm.decoding.plain import END, VOCABULARY, random_model
from userllm.decoding import (
    POSITIONS_AT_ONCE,
    catalogue_log_probs,
    like_lengths,
    read_prompt,
    text_prefix,
)
from userllm.decoding.exact import cut_trie, piece_size
from userllm.decoding.trie import build_trie


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(0, 2 * POSITIONS_AT_ONCE), min_size=1, max_size=60),
    behind=st.integers(0, 2000),
)
def test_users_of_like_lengths_fill_a_pass_and_each_is_in_one(
    lengths: list[int], behind: int
) -> None:
    groups = [group.tolist() for group in like_lengths(lengths, behind)]
    assert sorted(user for group in groups for user in group) == list(range(len(lengths)))
    for group in groups:
        most = max(lengths[user] for user in group) + behind
        assert len(group) == 1 or len(group) * most <= POSITIONS_AT_ONCE
    for longer, shorter in pairwise(groups):
        assert min(lengths[u] for u in longer) >= max(lengths[u] for u in shorter)


@torch.inference_mode()
def test_pieces_suit_the_prompt_and_it_stays_as_it_was() -> None:
    draw = torch.Generator().manual_seed(0)
    titles = torch.randint(1, VOCABULARY, (900, 4), generator=draw).tolist()
    llm, trie = random_model(0, 2).llm, build_trie(titles, END)
    rows = torch.randint(1, VOCABULARY, (2, 900), generator=draw)
    rows[1, 700:] = -1
    prompt = read_prompt(llm, torch.tensor([5, 6]), 2, text_prefix(llm, rows))
    length = len(prompt.memory)
    assert piece_size(length) > piece_size(2)
    assert 1 < len(cut_trie(trie, piece_size(length))[0]) < len(cut_trie(trie, 60)[0])
    own = catalogue_log_probs(llm, trie, prompt)
    for piece, positions in ((None, 1), (60, 10**6), (trie.num_nodes, 4096)):
        other = catalogue_log_probs(llm, trie, prompt, piece=piece, positions_at_once=positions)
        torch.testing.assert_close(own, other, atol=1e-4, rtol=0)
        assert len(prompt.memory) == prompt.memory.cache.get_seq_length() == length
