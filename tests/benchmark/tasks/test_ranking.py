from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import RunError
from benchmark.tasks.ranking import ask, target_ranks
from benchmark.types import Candidates, rank_scores
from tests.world import FixedScores, hashed_scores


class Spoilt(FixedScores):
    """Ranks well, and then spoils its answer."""

    def __init__(self, spoil) -> None:
        super().__init__(hashed_scores)
        self.spoil = spoil

    def rank(self, histories, candidates, k):
        return self.spoil(super().rank(histories, candidates, k), candidates)


def put(ranking, column, values):
    ids = ranking.ids.clone()
    ids[:, column] = values
    return replace(ranking, ids=ids)


SPOILS = {
    "outside of 1..40": lambda r, c: put(r, 3, 41),
    "fewer or more": lambda r, c: put(r, 3, 0),
    "twice": lambda r, c: put(r, 3, r.ids[:, 2]),
    "no candidate": lambda r, c: put(r, 3, c.exclude.int().argmax(dim=1)),
    "not in the order": lambda r, c: replace(r, scores=r.scores.flip(1)),
    "a score is no number": lambda r, c: replace(r, all_scores=r.all_scores * torch.nan),
    "or a score is no number": lambda r, c: replace(r, scores=r.scores * torch.nan),
    "not every item": lambda r, c: replace(r, all_scores=r.all_scores[:, 1:]),
    "do not sum to one": lambda r, c: replace(r, log_probs=True),
    "place a target differently": lambda r, c: replace(r, all_scores=-r.all_scores),
    "item ids": lambda r, c: replace(r, ids=r.ids[:, :5], scores=r.scores[:, :5]),
    "not \\(16, 10\\) item ids": lambda r, c: replace(r, ids=r.ids.float()),
}


@pytest.mark.parametrize("message", SPOILS)
def test_a_wrong_answer_is_named(world_split, message):
    method = Spoilt(SPOILS[message])
    with pytest.raises(RunError, match=message) as caught:
        ask(method, world_split.test, k=10, batch_size=16, exclude_seen=True, name="the_method")
    assert str(caught.value).startswith("the_method: ")


def test_without_all_scores_the_rank_is_known_within_the_list(world_split):
    arguments = {"k": 10, "batch_size": 16, "exclude_seen": True}
    whole = ask(FixedScores(hashed_scores), world_split.test, **arguments)
    cut = ask(Spoilt(lambda r, c: replace(r, all_scores=None)), world_split.test, **arguments)
    found = whole.target_ranks <= 10
    assert 0 < found.sum() < len(found)
    assert (cut.target_ranks[found] == whole.target_ranks[found]).all()
    assert (cut.target_ranks[~found] == -1).all()
    assert (cut.places == whole.places).all()


def test_asking_keeps_no_gradient(world_split):
    weight = torch.ones(41, requires_grad=True)
    answered = []

    def spoil(ranking, candidates):
        answered.append(ranking.all_scores.requires_grad)
        return ranking

    method = Spoilt(spoil)
    method.scores = lambda histories: weight * hashed_scores(histories)
    ask(method, world_split.test, k=10, batch_size=80, exclude_seen=False)
    assert answered == [False]


@given(
    scores=st.lists(st.sampled_from([-torch.inf, 0.0, 1.0, 2.0]), min_size=9, max_size=9),
    excluded=st.lists(st.booleans(), min_size=9, max_size=9),
)
def test_exact_ranks_are_places_in_the_whole_ranking(scores, excluded):
    table = torch.tensor(scores).expand(8, -1)
    candidates = Candidates(8, torch.tensor(excluded).expand(8, -1))
    order = rank_scores(table, candidates, 8).ids[0].tolist()
    ranks = target_ranks(table, candidates, torch.arange(1, 9)).tolist()
    assert ranks == [order.index(i) + 1 if i in order else -1 for i in range(1, 9)]
