from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from userllm.decoding.trie import build_trie

END = 0
TITLES = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=5), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(titles=TITLES, seed=st.integers(0, 100))
def test_any_logits_give_a_distribution_over_the_items(titles: list[list[int]], seed: int) -> None:
    trie = build_trie(titles, END)
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, len(trie.edge_token), generator=generator, dtype=torch.float64) * 5
    log_probs = trie.item_log_probs(trie.edge_log_softmax(logits))
    assert torch.isneginf(log_probs[:, 0]).all()
    torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(3, dtype=torch.float64))


@settings(max_examples=60, deadline=None)
@given(titles=TITLES)
def test_items_of_one_title_share_its_probability(titles: list[list[int]]) -> None:
    trie = build_trie([*titles, titles[0]], END)
    logits = torch.zeros(1, len(trie.edge_token), dtype=torch.float64)
    log_probs = trie.item_log_probs(trie.edge_log_softmax(logits))[0]
    for item, title in enumerate(titles, start=1):
        if title == titles[0]:
            assert log_probs[item] == log_probs[-1]


@settings(max_examples=60, deadline=None)
@given(titles=TITLES)
def test_paths_and_choices_describe_the_same_edges(titles: list[list[int]]) -> None:
    trie = build_trie(titles, END)
    for item, title in enumerate(titles, start=1):
        choices = trie.item_choices[item]
        edges = choices[choices >= 0]
        path = trie.item_edges[item]
        assert edges.tolist() == path[path < len(trie.edge_token)].tolist()
        tokens = [*title, END]
        for position in (choices >= 0).nonzero()[:, 0].tolist():
            assert trie.edge_token[choices[position]] == tokens[position]
        inputs = trie.item_inputs[item]
        read = inputs[inputs >= 0].tolist()
        assert read == title[: len(read)]


def test_one_item_needs_no_look_at_the_model() -> None:
    trie = build_trie([[1, 2, 3]], END)
    assert (trie.num_nodes, len(trie.edge_token), trie.total_positions) == (1, 0, 4)
    log_probs = trie.item_log_probs(trie.edge_log_softmax(torch.zeros(2, 0)))
    assert log_probs[:, 1].tolist() == [0.0, 0.0]


def test_only_branching_nodes_and_the_way_to_them_are_kept() -> None:
    # 1-2-3 and 1-2-4 branch after (1, 2); 5-6 never branches below the root.
    trie = build_trie([[1, 2, 3], [1, 2, 4], [5, 6]], END)
    assert trie.token.tolist() == [-1, 1, 2]
    assert trie.depth.tolist() == [0, 1, 2]
    assert trie.stop.tolist() == [3, 3, 3]
    assert trie.branch.tolist() == [0, 2, 2]


@pytest.mark.parametrize("titles", [[], [[1, END]]])
def test_wrong_titles_are_refused(titles: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="title"):
        build_trie(titles, END)
