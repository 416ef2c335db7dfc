import json

import numpy as np
import pytest

from benchmark.metrics.significance import paired_interval
from benchmark.records.differences import compare, mean_a_user
from tests.benchmark.ablation_rows import failed, make_row


def test_differences_are_paired_by_user_whatever_the_order(tmp_path):
    hits = np.random.default_rng(0).random(300) < 0.3
    better = hits.copy()
    better[:15] = True
    order = np.random.default_rng(1).permutation(300)
    reference = make_row(tmp_path, "deep", hits)
    shuffled = make_row(tmp_path, "flat", better[order], users=order.tolist())
    difference = compare([reference, shuffled])[1].differences["recall@10"]
    gained = (better & ~hits).sum() / 300
    assert difference.value == pytest.approx(gained)
    assert 0 < difference.low < gained < difference.high
    # Unpaired, 300 users could not tell so small a difference from none.
    assert difference.high - difference.low < 0.05
    again = compare([reference, shuffled])[1].differences["recall@10"]
    assert again == difference


def test_pairs_of_different_length_are_refused():
    with pytest.raises(ValueError, match="pairs are needed"):
        paired_interval(np.zeros(3), np.zeros(4))


def test_a_difference_and_its_reverse_mirror_each_other(tmp_path):
    rng = np.random.default_rng(2)
    one = make_row(tmp_path, "deep", rng.random(200) < 0.3)
    two = make_row(tmp_path, "flat", rng.random(200) < 0.3)
    there = compare([one, two])[1].differences["recall@10"]
    back = compare([two, one])[1].differences["recall@10"]
    assert there.value == pytest.approx(-back.value)
    assert there.low == pytest.approx(-back.high, abs=0.01)


def test_seeds_are_averaged_first_and_only_common_seeds_are_compared(tmp_path):
    rng = np.random.default_rng(3)
    draws = {name: [rng.random(100) < share for _ in range(2)]
             for name, share in (("deep", 0.3), ("flat", 0.4), ("half", 0.4))}  # fmt: skip
    rows = [make_row(tmp_path, name, draws[name][seed], seed)
            for seed in (0, 1) for name in ("deep", "flat")]  # fmt: skip
    rows += [make_row(tmp_path, "half", draws["half"][1], 1), failed("half", 0)]
    deep, flat, half = compare(rows)
    assert flat.metrics["recall@10"].value == pytest.approx(np.mean(draws["flat"]))
    wanted = np.mean(draws["flat"]) - np.mean(draws["deep"])
    assert flat.differences["recall@10"].value == pytest.approx(wanted)
    single = draws["half"][1].mean() - draws["deep"][1].mean()
    assert half.differences["recall@10"].value == pytest.approx(single)
    assert half.failure == ""
    assert deep.differences == {}
    assert mean_a_user(deep.finished, "recall@10").between(0, 1).all()


def test_likelihoods_are_compared_only_where_both_have_them(tmp_path):
    hits, rng = np.ones(50), np.random.default_rng(4)
    base = rng.normal(-5, 1, 50)
    gaps = base.copy()
    gaps[3] = np.nan
    outcomes = compare(
        [
            make_row(tmp_path, "deep", hits, logprobs=base),
            make_row(tmp_path, "flat", hits, logprobs=base - 0.5),
            make_row(tmp_path, "gaps", hits, logprobs=gaps),
            make_row(tmp_path, "none", hits),
        ]
    )
    assert outcomes[0].metrics["nll"].value == pytest.approx(-base.mean())
    assert outcomes[1].differences["nll"].value == pytest.approx(0.5)
    assert outcomes[1].differences["nll"].low == pytest.approx(0.5)
    for outcome in outcomes[2:]:
        assert "nll" not in outcome.metrics | outcome.differences
        assert "recall@10" in outcome.differences


def test_other_users_and_lost_examples_have_no_difference(tmp_path):
    rows = [
        make_row(tmp_path, "deep", np.ones(20)),
        make_row(tmp_path, "flat", np.zeros(19)),
        make_row(tmp_path, "gone", np.zeros(20)),
    ]
    (rows[2].path.parent / "examples.parquet").unlink()
    _, flat, gone = compare(rows)
    assert flat.differences == {}
    assert gone.differences == {}
    assert gone.metrics["recall@10"].value == 0


def test_without_a_reference_there_are_numbers_and_no_differences(tmp_path):
    deep, flat = compare([failed("deep"), make_row(tmp_path, "flat", np.ones(20))])
    assert deep.failure == "error"
    assert flat.metrics["recall@10"].value == 1
    assert flat.differences == {}
    assert deep.to_json()["error"] == "it broke"
    json.dumps([deep.to_json(), flat.to_json()])
