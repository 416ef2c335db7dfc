import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.evidence.comparisons import compare_on
from benchmark.evidence.contestants import differing, groups_of
from tests.benchmark.evidence.rows import finished, group_of
from tests.records import make_record

RNG = np.random.default_rng(0)


def hits(share, users=600):
    return RNG.random(users) < share


def test_seeds_are_averaged_user_by_user_and_shown_apart(tmp_path):
    one = [hits(0.3), hits(0.4), hits(0.5)]
    rows = [finished(tmp_path, "alpha", own, seed) for seed, own in enumerate(one)]
    rows += [finished(tmp_path, "beta", own, seed) for seed, own in enumerate([hits(0.1)] * 3)]
    group = group_of(*rows)
    found = compare_on("recall@1", *group.contestants)
    assert found.first_mean == pytest.approx(np.mean(one))
    assert found.first_seeds == tuple(float(own.mean()) for own in one)
    assert found.users == 600
    assert set(found.mcnemar) == {0, 1, 2}
    assert found.verdict == "better"
    back = compare_on("recall@1", *reversed(group.contestants))
    assert back.verdict == "worse"
    assert back.p == pytest.approx(found.p, abs=0.01)
    assert back.difference.value == pytest.approx(-found.difference.value)


def test_the_order_of_users_in_a_file_does_not_matter(tmp_path):
    """Files are shuffled differently by seed: pairs must still match."""
    same = hits(0.3)
    group = group_of(finished(tmp_path, "alpha", same, 0), finished(tmp_path, "beta", same, 7))
    found = compare_on("recall@1", *group.contestants)
    assert found.difference.value == 0
    assert found.p == 1.0
    assert (found.difference.low, found.difference.high) == (0, 0)


def test_what_nobody_reaches_can_be_within_the_margin_without_being_equivalent(tmp_path):
    """Two methods that are hardly ever right differ by less than 0.01 whatever they do."""
    one, two = np.arange(4000) < 8, np.arange(4000) >= 3998
    rare = group_of(finished(tmp_path, "alpha", one), finished(tmp_path, "beta", two))
    found = compare_on("recall@1", *rare.contestants, margin=0.01)
    assert found.verdict == "undecided"
    assert found.margin_share == pytest.approx(5.0)
    one, two = (np.arange(4000) % 2 == 0) | one, (np.arange(4000) % 2 == 0) | two
    often = group_of(finished(tmp_path, "alpha", one), finished(tmp_path, "beta", two))
    assert compare_on("recall@1", *often.contestants, margin=0.01).verdict == "equivalent"


@pytest.mark.parametrize(
    ("extra", "users", "margin", "verdict"),
    [
        (0, 4000, 0.02, "equivalent"),
        (0, 100, 0.001, "undecided"),
        (400, 4000, 0.01, "better"),
        (-400, 4000, 0.01, "worse"),
        (400, 4000, 0.9, "better"),  # what is surely there is told, however small
    ],
)
def test_verdicts(tmp_path, extra, users, margin, verdict):
    base = np.arange(users) % 4 == 0
    other = base.copy()
    for side in (True, False):  # as many gained as lost
        swapped = np.flatnonzero(base == side)[-users // 200 :]
        other[swapped] = not side
    if extra:
        wrong = np.flatnonzero(base != (extra > 0))[: abs(extra)]
        other[wrong] = extra > 0
    group = group_of(finished(tmp_path, "alpha", other), finished(tmp_path, "beta", base))
    found = compare_on("recall@1", *group.contestants, margin=margin)
    assert found.verdict == verdict


def test_lower_is_better_of_likelihoods(tmp_path):
    rows = [
        finished(tmp_path, name, hits(0.2), columns={"target_logprob": RNG.normal(mean, 1, 600)})
        for name, mean in (("alpha", -4.0), ("beta", -5.0))
    ]
    found = compare_on("nll", *group_of(*rows).contestants)
    assert found.difference.value < 0
    assert found.verdict == "better"


def test_without_a_value_a_user_there_is_no_test(tmp_path):
    half = [None if number % 2 else 0.5 for number in range(600)]
    rows = [finished(tmp_path, name, hits(0.2), columns={"odd": half}) for name in ("a", "b")]
    contestants = group_of(*rows).contestants
    assert compare_on("macro_f1", *contestants) is None
    assert compare_on("odd", *contestants) is None


def test_other_users_are_refused(tmp_path):
    rows = [
        finished(tmp_path, "alpha", hits(0.2, 50)),
        finished(tmp_path, "beta", hits(0.2, 50), users=[f"v{n}" for n in range(50)]),
    ]
    with pytest.raises(UserError, match="different users"):
        compare_on("recall@1", *group_of(*rows).contestants)
    rows[1] = finished(tmp_path, "alpha", hits(0.2, 50), 1, users=[f"v{n}" for n in range(50)])
    with pytest.raises(UserError, match="seeds of alpha are about different users"):
        group_of(*rows).contestants[0].averaged  # noqa: B018


def test_lost_and_broken_examples_are_said(tmp_path):
    row = finished(tmp_path, "alpha", hits(0.2, 50))
    (row.path.parent / "examples.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match="cannot be read"):
        group_of(row).contestants[0].averaged  # noqa: B018
    (row.path.parent / "examples.parquet").unlink()
    with pytest.raises(UserError, match=r"there is no .*examples\.parquet"):
        group_of(row).contestants[0].averaged  # noqa: B018


def test_variants_of_a_method_are_contestants_of_their_own(tmp_path):
    rows = [
        finished(tmp_path / "a", "alpha", hits(0.2)),
        finished(tmp_path / "b", "alpha", hits(0.3), method_changes={"width": 8}),
        finished(tmp_path / "c", "beta", hits(0.3)),
    ]
    labels = [own.label for own in group_of(*rows).contestants]
    assert labels == ["alpha (as is)", "alpha (width=8)", "beta"]


def test_budgets_are_groups_of_their_own(tmp_path):
    rows = [finished(tmp_path, "alpha", hits(0.2)), finished(tmp_path, "beta", hits(0.2))]
    rows.append(finished(tmp_path / "full", "alpha", hits(0.2), preset="full"))
    assert [len(own.contestants) for own in groups_of(rows)] == [2, 1]


def test_what_differs_is_named():
    one = make_record("alpha")
    assert differing(one, make_record("beta", 5)) == []
    other = one.model_copy(
        update={
            "dataset": one.dataset.model_copy(update={"fingerprint": "g"}),
            "task": one.task.model_copy(update={"version": "2"}),
            "protocol": one.protocol.model_copy(update={"seen": "include"}),
        }
    )
    told = differing(one, other)
    assert told == [
        "data hash (f and g)",
        "task version (1 and 2)",
        "seen items (exclude and include)",
    ]
