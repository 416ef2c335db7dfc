import numpy as np
import polars as pl
import pytest

from benchmark.evidence.list_quality import (
    calibration_error,
    coverage,
    list_quality,
    popularity_lift,
    reliability,
)
from tests.benchmark.evidence.rows import finished, group_of

USERS = 2000


def answers(rng, share):
    """Rankings whose first item is right as often as it is thought to be."""
    sure = rng.random(USERS) * share
    right = rng.random(USERS) < sure
    return sure, {
        "target_rank": np.where(right, 1, 5),
        "target_logprob": np.log(np.where(right, sure, 0.01)),
        "first_logprob": np.log(sure / 2),
        "candidates_logprob": np.full(USERS, np.log(0.5)),  # half of the mass is excluded
        "ranked": [[str(n % 40), str(n % 7)] for n in range(USERS)],
        "ranked_popularity": np.full(USERS, 30.0),
        "history_popularity": np.full(USERS, 20.0),
    }


def test_a_calibrated_method_has_next_to_no_error_and_an_overconfident_one_has(tmp_path):
    sure, columns = answers(np.random.default_rng(0), 0.6)
    right = columns["target_rank"] == 1
    calm = list_quality(
        group_of(finished(tmp_path, "a", right, columns=columns)).contestants[0], 80
    )
    assert calm.confidence == pytest.approx(sure.mean())
    assert calm.accuracy == pytest.approx(right.mean())
    assert calm.calibration_error < 0.04
    columns["first_logprob"] = np.log(np.minimum(sure * 1.6, 1.0) / 2)
    row = finished(tmp_path / "b", "a", right, columns=columns)
    bold = list_quality(group_of(row).contestants[0], 80)
    assert bold.calibration_error == pytest.approx(0.18, abs=0.04)
    assert calm.nll == pytest.approx(-columns["target_logprob"].mean())
    assert calm.coverage == 0.5
    assert calm.popularity_lift == pytest.approx(0.5)


def test_calibration_by_hand():
    confidence = np.array([0.1, 0.1, 0.9, 0.9])
    assert calibration_error(confidence, np.array([0.0, 0, 1, 1]), bins=2) == pytest.approx(0.1)
    assert calibration_error(confidence, np.array([1.0, 1, 0, 0]), bins=2) == pytest.approx(0.9)
    assert calibration_error(confidence, np.array([1.0, 1, 0, 0]), bins=1) == pytest.approx(0.0)


def test_what_is_not_known_is_none(tmp_path):
    row = finished(tmp_path, "a", np.ones(20))
    found = list_quality(group_of(row).contestants[0], 80)
    values = [value for name, value in vars(found).items() if name != "label"]
    assert values == [None] * 6
    empty = pl.DataFrame({"first_logprob": [None, -1.0], "candidates_logprob": [0.0, 0.0]})
    assert reliability(empty) is None
    unplaced = pl.DataFrame({"first_logprob": [-1.0], "candidates_logprob": [0.0]})
    assert reliability(unplaced) is None
    assert coverage(pl.DataFrame({"ranked": [["a"]]}), 0) is None
    cold = pl.DataFrame({"ranked_popularity": [1.0], "history_popularity": [0.0]})
    assert popularity_lift(cold) is None


def test_only_the_first_ten_cover():
    lists = pl.DataFrame({"ranked": [[str(n) for n in range(15)], []]})
    assert coverage(lists, 20) == 0.5
