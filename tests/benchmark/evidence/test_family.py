from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmark.evidence.comparisons import compare_on
from benchmark.evidence.contestants import groups_of
from benchmark.evidence.family import DRAWS, Plan, exploratory, primary_tests
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


def test_a_later_row_that_somebody_set_takes_no_part_where_one_is_as_it_is_or_tuned(tmp_path):
    rng = np.random.default_rng(0)
    rows = [finished(tmp_path, "beta", rng.random(200) < 0.1)]
    tuned = {"method": "gamma", "file": "a.yaml"}
    for method, setting, seed, more in [
        ("alpha", 0, 0, {}), ("alpha", 8, 0, {}), ("alpha", 8, 1, {}),
        ("gamma", 4, 0, {"tuned": tuned}), ("gamma", 8, 0, {"tuned": {**tuned, "set": ["width"]}}),
    ]:  # fmt: skip
        changes = {"width": setting} if setting else {}
        made = {"method_changes": changes, "created": f"2026-01-0{1 + setting}", **more}
        rows.append(finished(tmp_path / str(setting), method, rng.random(200) < 0.2, seed, **made))
    found = primary_tests(groups_of(rows), PLAN)
    pairs = [(test.comparison.first, test.comparison.second) for test in found]
    assert pairs == [("alpha (as is)", "beta"), ("alpha (as is)", "gamma (width=4)")]


def test_what_is_detectable_allows_for_the_size_of_the_family(tmp_path):
    rows = rows_of(tmp_path, {"alpha": 0.4, "beta": 0.1})
    (alone,) = primary_tests(groups_of(rows), PLAN)
    rows += rows_of(tmp_path / "more", {"b": 0.1, "c": 0.1, "d": 0.1}, 1)
    together = primary_tests(groups_of(rows), PLAN)
    (same,) = (own for own in together if own.comparison.second == "beta")
    power = stats.norm.ppf(0.8)
    wider = (stats.norm.isf(0.025 / 4) + power) / (stats.norm.isf(0.025) + power)
    assert same.comparison.detectable == pytest.approx(wider * alone.comparison.detectable)


def apart(users, swapped):
    """Who is right in two methods that are as good as each other and differ in some users."""
    base = np.arange(users) % 4 == 0
    other = base.copy()
    for side in (True, False):
        other[np.flatnonzero(base == side)[:swapped]] = not side
    return base, other


def test_equivalence_is_corrected_within_a_family(tmp_path):
    """What is just equivalent alone is not among many that are further off."""
    users = 2000
    base, near = apart(users, 55)
    rng = np.random.default_rng(0)
    rows = [finished(tmp_path, "alpha", base), finished(tmp_path, "beta", near)]
    (alone,) = primary_tests(groups_of(rows), PLAN)
    assert alone.comparison.p_equivalent_corrected == alone.comparison.p_equivalent
    assert 0.025 < alone.comparison.p_equivalent < 0.05
    assert alone.comparison.verdict == "equivalent"
    rows += [finished(tmp_path, name, rng.random(users) < 0.25) for name in ("b", "c")]
    found = {own.comparison.second: own.comparison for own in primary_tests(groups_of(rows), PLAN)}
    assert found["beta"].p_equivalent_corrected == pytest.approx(3 * found["beta"].p_equivalent)
    assert found["beta"].verdict == "undecided"
    assert found["b"].verdict == "undecided"
    group = groups_of(rows)[0]
    free = compare_on("recall@1", group["alpha"], group["beta"])
    assert free.p_equivalent_corrected is None
    assert free.verdict == "equivalent"  # outside of the family as before


def test_what_cannot_be_equivalent_counts_among_the_tests(tmp_path):
    users = 4000
    rare = np.arange(users) < 20
    rows = [finished(tmp_path, "alpha", rare), finished(tmp_path, "beta", rare)]
    rows.append(finished(tmp_path, "gamma", np.arange(users) < 60))
    found = {own.comparison.second: own.comparison for own in primary_tests(groups_of(rows), PLAN)}
    assert found["beta"].p_equivalent is found["beta"].p_equivalent_corrected is None
    assert found["beta"].verdict == "undecided"
    assert found["gamma"].p_equivalent_corrected == pytest.approx(
        min(1.0, 2 * found["gamma"].p_equivalent)
    )


def test_small_p_values_of_a_family_come_of_many_draws(tmp_path):
    """Of 9,999 draws none is below 1 / 5,000 on two sides, and after Holm much is lost."""
    base, near = apart(500, 10)
    rows = [finished(tmp_path, name, own) for name, own in (("alpha", base), ("gamma", near))]
    rows.append(finished(tmp_path, "beta", np.arange(500) < 10))
    found = {own.comparison.second: own.comparison for own in primary_tests(groups_of(rows), PLAN)}
    assert found["beta"].p <= 2 / (DRAWS + 1) < 2 / 10_000
    group = groups_of(rows)[0]
    assert compare_on("recall@1", group["alpha"], group["beta"]).p == pytest.approx(2 / 10_000)
    assert found["gamma"].p == compare_on("recall@1", group["alpha"], group["gamma"]).p
