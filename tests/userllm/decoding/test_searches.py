"""On random models and catalogues, every way of ranking agrees with scoring each title alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmark.types import Candidates, rank_scores
from tests.userllm.decoding.plain import END, Model, plain_log_probs, random_model
from userllm.decoding import Prior, beam_search, catalogue_log_probs, top_k
from userllm.decoding.trie import TitleTrie, build_trie

# Few tokens and long titles: duplicates, titles that begin others and chains without a branch.
TITLE = st.lists(st.integers(1, 4), min_size=1, max_size=7)
CATALOGUES = st.lists(TITLE, min_size=1, max_size=14)
CASES = settings(max_examples=25, deadline=None, derandomize=True)
USERS = 3


def world(titles: list[list[int]], seed: int) -> tuple[Model, TitleTrie, Tensor]:
    model = random_model(seed, USERS)
    trie = build_trie(titles, END)
    return model, trie, plain_log_probs(model, titles)


def exclusion(seed: int, items: int) -> Tensor:
    drawn = torch.rand(USERS, items + 1, generator=torch.Generator().manual_seed(seed)) < 0.4
    drawn[0] = False
    return drawn


def first(scores: Tensor, exclude: Tensor | None, k: int) -> Tensor:
    """The `k` best scores that are not left out, minus infinity where there are fewer."""
    left = scores[:, 1:] if exclude is None else scores[:, 1:].masked_fill(exclude[:, 1:], -1e9)
    best = left.topk(min(k, left.shape[1])).values
    return best.masked_fill(best == -1e9, -torch.inf)


@CASES
@given(titles=CATALOGUES, seed=st.integers(0, 9), piece=st.sampled_from([1, 2, 5, 100]))
def test_exact_in_pieces_is_the_plain_likelihood(
    titles: list[list[int]], seed: int, piece: int
) -> None:
    model, trie, expected = world(titles, seed)
    with torch.inference_mode():
        got = catalogue_log_probs(
            model.llm, trie, model.prompt(), piece=piece, positions_at_once=7 * piece
        )
    torch.testing.assert_close(got[:, 1:], expected[:, 1:], atol=1e-4, rtol=0)
    torch.testing.assert_close(got.exp().sum(1), torch.ones(USERS), atol=1e-4, rtol=0)


@CASES
@given(
    titles=CATALOGUES,
    seed=st.integers(0, 9),
    k=st.integers(1, 6),
    at_once=st.integers(1, 4),
    leave_out=st.booleans(),
    prior=st.booleans(),
)
def test_top_k_finds_the_first_k_of_exact(
    titles: list[list[int]], seed: int, k: int, at_once: int, leave_out: bool, prior: bool
) -> None:
    model, trie, expected = world(titles, seed)
    exclude = exclusion(seed, len(titles)) if leave_out else None
    known = None
    if prior:
        mass = torch.randn(USERS, len(titles) + 1, generator=torch.Generator().manual_seed(seed))
        mass[:, 0] = -torch.inf
        known = Prior(trie.edge_log_mass(mass.log_softmax(1)), torch.tensor(0.5))
    with torch.inference_mode():
        if prior:
            expected = catalogue_log_probs(model.llm, trie, model.prompt(), known)
        got = top_k(model.llm, trie, model.prompt(), k, exclude, known, at_once=at_once)
    best = first(expected, exclude, k)
    real = best > -torch.inf
    assert got.ids.shape == best.shape
    assert ((got.ids > 0) == real).all()
    torch.testing.assert_close(got.log_probs[real], best[real], atol=1e-4, rtol=0)
    named = expected.gather(1, got.ids)[real]
    torch.testing.assert_close(named, got.log_probs[real], atol=1e-4, rtol=0)
    for ids in got.ids.tolist():
        assert len({i for i in ids if i}) == sum(i > 0 for i in ids)
    if exclude is not None:
        assert not exclude.gather(1, got.ids)[real].any()
    assert (got.positions <= trie.num_nodes).all()


@CASES
@given(titles=CATALOGUES, seed=st.integers(0, 9), k=st.integers(1, 6), leave_out=st.booleans())
def test_a_beam_as_wide_as_the_catalogue_misses_nothing(
    titles: list[list[int]], seed: int, k: int, leave_out: bool
) -> None:
    model, trie, _ = world(titles, seed)
    exclude = exclusion(seed, len(titles)) if leave_out else None
    with torch.inference_mode():
        beam = beam_search(model.llm, trie, model.prompt(), k, exclude, width=len(titles))
        best = top_k(model.llm, trie, model.prompt(), k, exclude)
    torch.testing.assert_close(beam.log_probs, best.log_probs, atol=1e-4, rtol=0)
    assert ((beam.ids > 0) == (best.ids > 0)).all()


@CASES
@given(titles=CATALOGUES, seed=st.integers(0, 9))
def test_a_narrow_beam_says_true_log_probs_of_different_items(
    titles: list[list[int]], seed: int
) -> None:
    model, trie, expected = world(titles, seed)
    with torch.inference_mode():
        got = beam_search(model.llm, trie, model.prompt(), 5, width=2)
    real = got.ids > 0
    torch.testing.assert_close(
        expected.gather(1, got.ids)[real], got.log_probs[real], atol=1e-4, rtol=0
    )
    assert real[:, 0].all()
    assert (got.positions <= 1 + 2 * (1 + int(trie.depth.max()))).all()


@pytest.mark.parametrize("search", ["top_k", "beam"])
def test_the_batch_does_not_matter(search: str) -> None:
    titles = [[1 + (i // 4**d) % 4 for d in range(1 + i % 5)] for i in range(40)]
    model, trie, _ = world(titles, 3)

    def find(users: slice) -> tuple[Tensor, Tensor, Tensor]:
        prompt = model.prompt(users)
        if search == "beam":
            found = beam_search(model.llm, trie, prompt, 4, width=3)
        else:
            found = top_k(model.llm, trie, prompt, 4, at_once=2)
        return found.ids, found.log_probs, found.positions

    with torch.inference_mode():
        together = find(slice(USERS))
        alone = [find(slice(user, user + 1)) for user in range(USERS)]
    for whole, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(whole, torch.cat(parts), atol=1e-4, rtol=0)


def test_ties_go_to_the_lower_id() -> None:
    titles = [[3, 1], [1], [2], [1], [3, 2], [1]]
    model, trie, _ = world(titles, 0)
    with torch.inference_mode():
        ids = top_k(model.llm, trie, model.prompt(), 6).ids
    for row in ids.tolist():
        assert [i for i in row if i in (2, 4, 6)] == [2, 4, 6]


def test_a_sure_model_is_asked_little() -> None:
    titles = [[1 + (i // 4**d) % 4 for d in range(5)] for i in range(1024)]
    model, trie, _ = world([[1]], 1)
    trie = build_trie(titles, END)
    sure = torch.full((USERS, len(titles) + 1), -30.0)
    sure[:, 7:12] = 0.0
    known = Prior(trie.edge_log_mass(sure.log_softmax(1)), torch.tensor(0.0))
    with torch.inference_mode():
        got = top_k(model.llm, trie, model.prompt(), 5, prior=known, at_once=1)
    assert got.ids.sort(dim=1).values.tolist() == [[7, 8, 9, 10, 11]] * USERS
    assert (got.positions < trie.num_nodes / 10).all()


def test_a_tie_at_the_cut_off_goes_to_the_lower_id() -> None:
    titles = [[1, 1], [1, 2], [2, 1], [2, 2], [3]]
    trie, model = build_trie(titles, END), random_model(1, 3)
    # Root choices alike; below, one child has all of the probability that 32 bits can hold.
    below = (trie.edge_node > 0) & (trie.edge_token != 1)
    prior = Prior((-200.0 * below).expand(3, -1), torch.tensor(0.0))
    with torch.inference_mode():
        exact = catalogue_log_probs(model.llm, trie, model.prompt(), prior)
        for k in range(1, 6):
            found = top_k(model.llm, trie, model.prompt(), k, prior=prior)
            assert torch.equal(found.ids, rank_scores(exact, Candidates(5), k).ids)
