from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmark.evidence.contestants import groups_of
from benchmark.evidence.family import Plan, exploratory, primary_tests
from tests.benchmark.evidence.rows import finished
from tests.records import make_record

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


def of_protocol(**changes):
    protocol = make_record("x").protocol.model_copy(update=changes)
    return {"protocol": protocol}


def of_task(**changes):
    return {"task": make_record("x").task.model_copy(update=changes)}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (of_protocol(part="validation"), "validation targets"),
        (of_task(changes={"users": 10}), "set next_item.users"),
        (of_protocol(split="global_time", split_settings={"quantile": 0.5}), "global_time does"),
        ({"preset": "smoke"}, "preset smoke is none of full, quick"),
        ({"imported": {"name": "a", "sha256": "b"}}, "not both there"),
    ],
)
def test_what_was_not_planned_has_no_primary_test_and_says_why(tmp_path, changes, told):
    groups = groups_of(rows_of(tmp_path, {"alpha": 0.4, "beta": 0.1}, **changes))
    assert primary_tests(groups, PLAN) == []
    (why,) = exploratory(groups, PLAN)
    assert told in why


def test_settings_of_judging_and_the_usual_ones_of_a_split_are_planned(tmp_path):
    changes = of_protocol(split="global_time", split_settings={"quantile": 0.9})
    changes |= of_task(changes={"bootstrap_samples": 10})
    groups = groups_of(rows_of(tmp_path, {"alpha": 0.4, "beta": 0.1}, **changes))
    assert exploratory(groups, PLAN) == [""]


@pytest.mark.parametrize(
    ("less", "more", "told"),
    [
        ({}, {"preset": "full"}, "preset (quick and full)"),
        (of_protocol(seen="include"), of_protocol(seen="exclude"), "(include and exclude)"),
        (of_task(version="9"), of_task(version="10"), "task version (9 and 10)"),
        ({"preset": "full", **of_protocol(seen="include")}, {}, "(full and quick)"),
    ],
)
def test_of_one_question_one_group_takes_part(tmp_path, less, more, told):
    shares = {"alpha": 0.4, "beta": 0.1}
    groups = groups_of(
        [*rows_of(tmp_path / "l", shares, **less), *rows_of(tmp_path / "m", shares, 1, **more)]
    )
    for order in (groups, groups[::-1]):
        (test,) = primary_tests(order, PLAN)
        assert test.group is groups[1]
    why, chosen = exploratory(groups, PLAN)
    assert told in why
    assert chosen == ""


def test_a_larger_budget_without_a_baseline_does_not_keep_a_smaller_one_out(tmp_path):
    rows = rows_of(tmp_path / "quick", {"alpha": 0.4, "beta": 0.1})
    rows += rows_of(tmp_path / "full", {"alpha": 0.5}, preset="full")
    (test,) = primary_tests(groups_of(rows), PLAN)
    assert test.group.record.preset == "quick"


def test_each_method_takes_part_once_with_the_most_seeds_then_the_latest(tmp_path):
    rng = np.random.default_rng(0)
    rows = [finished(tmp_path, "beta", rng.random(200) < 0.1)]
    for name, setting, seed, day in [
        ("alpha", "old", 0, 5), ("alpha", "few", 0, 9),
        ("alpha", "few", 1, 1), ("gamma", "first", 0, 1), ("gamma", "last", 0, 2),
    ]:  # fmt: skip
        changes = {"method_changes": {"width": setting}, "created": f"2026-01-0{day}T00:00:00"}
        rows.append(finished(tmp_path / setting, name, rng.random(200) < 0.2, seed, **changes))
    rows.append(finished(tmp_path, "theirs", rng.random(200) < 0.2))
    rows.append(finished(tmp_path, "delta", rng.random(200) < 0.2, imported={"name": "a"}))
    found = primary_tests(groups_of(rows), replace(PLAN, baselines=PLAN.baselines | {"delta"}))
    pairs = [(test.comparison.first, test.comparison.second) for test in found]
    assert pairs == [("alpha (width=few)", "beta"), ("alpha (width=few)", "gamma (width=last)")]


def test_what_is_detectable_allows_for_the_size_of_the_family(tmp_path):
    rows = rows_of(tmp_path, {"alpha": 0.4, "beta": 0.1})
    (alone,) = primary_tests(groups_of(rows), PLAN)
    rows += rows_of(tmp_path / "more", {"b": 0.1, "c": 0.1, "d": 0.1}, 1)
    together = primary_tests(groups_of(rows), PLAN)
    (same,) = (own for own in together if own.comparison.second == "beta")
    power = stats.norm.ppf(0.8)
    wider = (stats.norm.isf(0.025 / 4) + power) / (stats.norm.isf(0.025) + power)
    assert same.comparison.detectable == pytest.approx(wider * alone.comparison.detectable)
