from dataclasses import replace

import numpy as np
import pytest

from benchmark.evidence.contestants import groups_of
from benchmark.evidence.family import Plan, primary_tests
from tests.benchmark.evidence.rows import finished

PLAN = Plan(
    "alpha", frozenset({"alpha_b"}), {"next_item": "recall@1"},
    frozenset({"b", "beta", "c", "d", "gamma"}), ("full", "quick"),
    {"global_time": {"quantile": 0.9}},
)  # fmt: skip


def rows_of(folder, shares, seed=0, **changes):
    rng = np.random.default_rng(seed)
    return [
        finished(folder, name, rng.random(500) < share, **changes) for name, share in shares.items()
    ]


def test_the_studied_method_meets_every_baseline_and_no_variant_of_itself(tmp_path):
    rows = rows_of(tmp_path, {"alpha": 0.4, "alpha_b": 0.4, "beta": 0.1, "gamma": 0.39})
    found = primary_tests(groups_of(rows), PLAN)
    assert [test.comparison.second for test in found] == ["beta", "gamma"]
    verdicts = [test.comparison.verdict for test in found]
    assert verdicts[0] == "better"
    assert all(t.comparison.p_corrected >= t.comparison.p for t in found)
    ordered = sorted(found, key=lambda test: test.comparison.p)
    assert ordered[0].comparison.p_corrected == pytest.approx(2 * ordered[0].comparison.p)


def test_splits_of_a_data_set_are_one_family_and_data_sets_are_not(tmp_path):
    shares = {"alpha": 0.3, "beta": 0.24}
    rows = rows_of(tmp_path / "last", shares)
    alone = primary_tests(groups_of(rows), PLAN)[0].comparison
    assert alone.p_corrected == alone.p < 0.4
    protocol = rows[0].record.protocol.model_copy(update={"split": "global_time"})
    other = rows_of(tmp_path / "time", shares, 0, protocol=protocol)
    together = primary_tests(groups_of([*rows, *other]), PLAN)
    assert together[0].comparison.p_corrected == pytest.approx(2 * alone.p)
    dataset = rows[0].record.dataset.model_copy(update={"fingerprint": "h", "name": "other"})
    apart = rows_of(tmp_path / "data", shares, 0, dataset=dataset)
    found = primary_tests(groups_of([*rows, *apart]), PLAN)
    assert [test.comparison.p_corrected for test in found] == [alone.p] * 2


def test_without_the_studied_method_or_its_metric_there_is_no_test(tmp_path):
    rows = rows_of(tmp_path, {"beta": 0.3, "gamma": 0.3})
    assert primary_tests(groups_of(rows), PLAN) == []
    rows = rows_of(tmp_path, {"alpha": 0.3, "gamma": 0.3})
    assert primary_tests(groups_of(rows), replace(PLAN, metrics={})) == []


def test_a_family_of_identical_methods_finds_nothing_in_19_of_20_studies(tmp_path):
    rng = np.random.default_rng(4)
    wrong, rounds = 0, 40
    for number in range(rounds):
        folder = tmp_path / str(number)
        rows = [finished(folder, n, rng.random(300) < 0.2) for n in ("alpha", "b", "c", "d")]
        found = primary_tests(groups_of(rows), PLAN)
        wrong += any(test.comparison.verdict in ("better", "worse") for test in found)
    assert wrong <= 6  # 2 are to be expected; more than 6 come once in 300 studies
