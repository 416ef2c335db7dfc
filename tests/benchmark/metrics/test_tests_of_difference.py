import numpy as np
import pytest
from scipy import stats

from benchmark.metrics.tests_of_difference import (
    cautious_interval,
    detectable_difference,
    equivalence_test,
    holm,
    mcnemar_test,
    sign_flip_test,
)


def test_few_differing_users_are_tested_exactly():
    differences = np.array([1.0, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    assert sign_flip_test(differences) == pytest.approx(2 / 2**4)
    assert sign_flip_test(-differences) == pytest.approx(2 / 2**4)
    assert sign_flip_test(np.zeros(9)) == 1.0
    assert sign_flip_test(np.array([1.0, -1, 0, 0])) == 1.0


def test_the_order_of_users_does_not_matter():
    rng = np.random.default_rng(11)
    differences = rng.normal(0.1, 1.0, 200)
    assert sign_flip_test(differences) == sign_flip_test(rng.permutation(differences))


def test_on_right_and_wrong_answers_it_agrees_with_mcnemar():
    rng = np.random.default_rng(0)
    one, two = rng.random(900) < 0.10, rng.random(900) < 0.13
    flips = sign_flip_test(one.astype(float) - two)
    assert flips == pytest.approx(mcnemar_test(one.astype(float), two.astype(float)), abs=0.02)


def test_it_agrees_with_the_normal_approximation_on_many_users():
    rng = np.random.default_rng(1)
    differences = rng.normal(0.05, 1.0, 2000)
    t = stats.ttest_1samp(differences, 0.0).pvalue
    assert sign_flip_test(differences) == pytest.approx(t, abs=0.02)


@pytest.mark.parametrize("share", [0.03, 0.2])
def test_of_identical_methods_a_test_at_5_percent_rejects_about_5_percent(share):
    """Two methods that are right equally often, independently, on 943 users, again and again."""
    rng = np.random.default_rng(2)
    rejected = {"flip": 0, "mcnemar": 0}
    rounds = 400
    for number in range(rounds):
        one, two = (rng.random((2, 943)) < share).astype(float)
        rejected["flip"] += sign_flip_test(one - two, samples=499, seed=number) <= 0.05
        rejected["mcnemar"] += mcnemar_test(one, two) <= 0.05
    # 400 rounds of 5% scatter by 1.1 points; the tests of whole numbers err on the safe side.
    assert 0.015 <= rejected["flip"] / rounds <= 0.085
    assert rejected["mcnemar"] / rounds <= 0.085


def test_of_averages_over_seeds_it_rejects_about_5_percent_too():
    rng = np.random.default_rng(3)
    rounds = 400
    hard = rng.random(500)  # what both find hard about a user
    rejected = sum(
        sign_flip_test(
            (rng.random((5, 500)) < hard * 0.2).mean(axis=0)
            - (rng.random((5, 500)) < hard * 0.2).mean(axis=0),
            samples=499,
            seed=number,
        )
        <= 0.05
        for number in range(rounds)
    )
    assert 0.02 <= rejected / rounds <= 0.085


def test_the_detectable_difference_is_found_four_times_in_five():
    rng = np.random.default_rng(4)
    spread = rng.normal(0, 1, 300)
    reach = detectable_difference(spread)
    found = sum(
        sign_flip_test(rng.normal(reach, spread.std(ddof=1), 300), samples=499) <= 0.05
        for _ in range(200)
    )
    assert 0.7 <= found / 200 <= 0.9
    assert np.isnan(detectable_difference(np.ones(1)))


@pytest.mark.parametrize("step", [1.0, 0.5])
def test_what_is_detectable_is_found_where_hardly_anybody_differs(step):
    """Three of 600 users differ: a test at a strict level needs many more who do."""
    users, level = 600, 0.05 / 18
    few = np.zeros(users)
    few[:3] = step
    reach = detectable_difference(few, significance=level)
    rng = np.random.default_rng(10)
    found = sum(
        sign_flip_test(step * (rng.random(users) < reach / step), samples=999) <= level
        for _ in range(200)
    )
    assert 0.7 <= found / 200 <= 0.97


def test_where_nobody_differs_not_every_difference_is_detectable():
    assert detectable_difference(np.zeros(600)) > 0.01
    assert detectable_difference(np.zeros(6000)) < detectable_difference(np.zeros(600))


def test_holm_by_hand_and_in_any_order():
    assert holm([]) == []
    assert holm([0.04]) == [0.04]
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    p = np.random.default_rng(5).random(8)
    order = np.random.default_rng(6).permutation(8)
    assert holm(p[order]) == pytest.approx(np.array(holm(p))[order])
    assert all(corrected >= own for corrected, own in zip(holm(p), p, strict=True))


def test_under_holm_a_family_of_nothing_is_wrong_in_at_most_5_percent():
    rng = np.random.default_rng(7)
    wrong = np.mean([min(holm(rng.random(10))) <= 0.05 for _ in range(2000)])
    assert 0.03 <= wrong <= 0.065


def test_bad_values():
    with pytest.raises(ValueError, match="all of them numbers"):
        sign_flip_test(np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match="all of them numbers"):
        sign_flip_test(np.zeros(0))
    with pytest.raises(ValueError, match="0 and 1"):
        mcnemar_test(np.array([0.2, 0.8]), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="pairs are needed"):
        mcnemar_test(np.zeros(2), np.zeros(3))


@pytest.mark.parametrize("users", [100, 458, 943, 6040])
@pytest.mark.parametrize(("gained", "lost"), [(0.01, 0.0), (0.015, 0.005), (0.05, 0.04)])
def test_a_difference_at_the_margin_is_called_equivalent_in_about_5_percent_at_most(
    users, gained, lost
):
    """The true difference is the margin itself, 0.01: two one-sided tests at 5%."""
    rng = np.random.default_rng(8)
    wrong, rounds = 0, 1500
    for _ in range(rounds):
        drawn = rng.random(users)
        differences = (drawn < gained).astype(float) - (drawn > 1 - lost)
        low, high = cautious_interval(differences)
        wrong += low > -0.01 and high < 0.01
    assert wrong / rounds <= 0.08


def test_equal_methods_are_called_equivalent_where_users_are_many():
    rng = np.random.default_rng(9)
    for users, wanted in ((100, 0.0), (6040, 0.9)):
        found = 0
        for _ in range(200):
            drawn = rng.random(users)
            low, high = cautious_interval((drawn < 0.02).astype(float) - (drawn > 0.98))
            found += low > -0.01 and high < 0.01
        assert found / 200 >= wanted
        assert users > 100 or not found


def test_nothing_seen_is_not_nothing_there():
    """Twelve users without a difference do not show that there is none."""
    low, high = cautious_interval(np.zeros(12))
    assert low == -high
    assert high > 0.1
    assert cautious_interval(np.zeros(1))[1] > 0.5


@pytest.mark.parametrize("level", [0.2, 0.05, 0.001])
def test_the_equivalence_test_is_the_cautious_interval_turned_round(level):
    rng = np.random.default_rng(10)
    for share in (0.0, 0.01, 0.3):
        drawn = rng.random(2000)
        differences = (drawn < share).astype(float) - (drawn > 1 - share / 2)
        low, high = cautious_interval(differences, confidence=1 - 2 * level)
        margin = max(-low, high)
        assert equivalence_test(differences, margin) == pytest.approx(level)
        assert equivalence_test(differences, 1.01 * margin) < level
        assert equivalence_test(-differences, 0.99 * margin) > level


def test_a_mean_at_the_margin_is_not_within_it():
    assert equivalence_test(np.array([1.0, 0.0] * 50), 0.5) == 1.0
    assert equivalence_test(np.array([1.0, 0.0] * 50), 0.2) == 1.0


@pytest.mark.parametrize("users", [943, 2000, 6040])
@pytest.mark.parametrize(("gained", "lost"), [(0.01, 0.0), (0.015, 0.005)])
def test_at_the_levels_of_a_large_family_equivalence_is_not_claimed_too_often(users, gained, lost):
    """The true difference is the margin: at 5% of 50 tests the tail counts, not the middle."""
    level, rounds = 0.05 / 50, 200_000
    shares = [gained, lost, 1 - gained - lost]
    drawn = np.random.default_rng(11).multinomial(users, shares, size=rounds)
    wrong = 0
    for (up, down, _), times in zip(*np.unique(drawn, axis=0, return_counts=True), strict=True):
        if up - down < 0.008 * users:  # nothing nearer to the margin can be that sure
            differences = np.repeat([1.0, -1.0, 0.0], [up, down, users - up - down])
            wrong += times * (equivalence_test(differences, 0.01) < level)
    assert wrong / rounds <= 1.5 * level


def test_signs_that_are_drawn_by_size_give_the_same_p_value():
    rng = np.random.default_rng(12)
    for shift in (0.0, 0.05, 0.1):
        differences = rng.choice([-1, -0.5, 0, 0.5, 1], 300) + (rng.random(300) < shift)
        few, many = (sign_flip_test(differences, samples=n) for n in (9999, 99_999))
        assert many == pytest.approx(few, abs=0.02)
    assert sign_flip_test(np.ones(300), samples=99_999) == pytest.approx(2 / 100_000)
