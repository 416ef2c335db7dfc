import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.schema import IdMap
from benchmark.types import Candidates, Catalog, FitReport, HistoryBatch, StageReport, rank_scores


@st.composite
def scored(draw):
    """Scores with many ties and infinities, an exclusion, a cut-off."""
    rows, count = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    value = st.sampled_from([-torch.inf, -1.0, 0.0, 0.5, 1.0, torch.inf])
    scores = draw(st.lists(value, min_size=rows * (count + 1), max_size=rows * (count + 1)))
    flags = draw(st.lists(st.booleans(), min_size=rows * (count + 1), max_size=rows * (count + 1)))
    exclude = torch.tensor(flags).view(rows, count + 1) if draw(st.booleans()) else None
    k = draw(st.integers(1, count + 2))
    return torch.tensor(scores).view(rows, count + 1), Candidates(count, exclude), k


@given(scored())
def test_ranking_is_python_sort_by_score_then_id(case):
    scores, candidates, k = case
    ranking = rank_scores(scores, candidates, k)
    k = min(k, candidates.count)
    assert ranking.ids.shape == (len(scores), k)
    for row in range(len(scores)):
        left = [
            item
            for item in range(1, candidates.count + 1)
            if candidates.exclude is None or not candidates.exclude[row, item]
        ]
        best = sorted(left, key=lambda item: (-scores[row, item].item(), item))[:k]
        assert ranking.ids[row].tolist() == best + [0] * (k - len(best))


@given(scored())
def test_excluded_items_are_never_ranked(case):
    scores, candidates, k = case
    ids = rank_scores(scores, candidates, k).ids
    for row in range(len(scores)):
        real = [item for item in ids[row].tolist() if item]
        assert len(set(real)) == len(real)
        if candidates.exclude is not None:
            assert not candidates.exclude[row, real].any()


def test_scores_that_are_no_numbers_or_too_few():
    scores = torch.zeros(2, 4)
    scores[:, 0] = torch.nan
    assert rank_scores(scores, Candidates(3), 2).ids.tolist() == [[1, 2], [1, 2]]
    scores[1, 2] = torch.nan
    with pytest.raises(FloatingPointError):
        rank_scores(scores, Candidates(3), 2)
    with pytest.raises(ValueError, match="5 columns"):
        rank_scores(torch.zeros(2, 4), Candidates(4), 2)


def test_ranking_leaves_its_input_alone():
    scores = torch.rand(3, 6)
    before = scores.clone()
    rank_scores(scores, Candidates(5, torch.rand(3, 6) > 0.5), 5)
    assert torch.equal(scores, before)


def test_rows_of_a_batch():
    features = {"item": torch.tensor([[1, 2], [3, 0]])}
    batch = HistoryBatch(features, torch.tensor([[True, True], [True, False]]))
    assert batch.lengths.tolist() == [2, 1]
    assert batch.rows(slice(1, 2)).features["item"].tolist() == [[3, 0]]
    assert len(batch.to("cpu")) == 2


def test_a_catalogue_has_a_text_an_item():
    with pytest.raises(ValueError, match="one text an item"):
        Catalog(IdMap(["a"]), ("",), {"year": np.zeros(2)})


def test_a_reused_stage_counts_too():
    stages = (StageReport("encoder", 2.0, reused=True), StageReport("tune", 3.0))
    assert FitReport(stages).seconds == 5.0
