from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.forecast.calibration import Calibration
from benchmark.forecast.past import Machine, Past, PastStage, read_past
from benchmark.records.results import Fit, Stage
from tests.records import make_record

HERE: Machine = ("a processor", 2, "cpu")
THERE: Machine = ("another", 8, "cpu")
A_STEP, A_FLOP = 4e-3, 2e-11


def stage(
    method: str = "m", name: str = "train", steps: int = 100, size: float = 1e9,
    machine: Machine = HERE, slow: float = 1.0,
) -> PastStage:  # fmt: skip
    seconds = slow * steps * (A_STEP + A_FLOP * size)
    return PastStage(machine, method, name, steps, steps * size, seconds)


def calibrated(*stages: PastStage, here: Machine = HERE) -> Calibration:
    return Calibration(Past(stages, ()), here)


@given(st.integers(1, 10**6), st.floats(1e5, 1e13))
def test_what_a_step_and_an_operation_take_is_found(steps: int, size: float) -> None:
    calibration = calibrated(stage(size=1e6), stage("n", size=1e8), stage("o", "tune", 7, 1e11))
    expected = steps * (A_STEP + A_FLOP * size)
    assert calibration.seconds("new", "train", steps, steps * size) == pytest.approx(expected)


def test_stages_of_the_kind_count_before_others() -> None:
    slow = [stage("slow", "tune", size=size, slow=3) for size in (1e7, 1e9)]
    own = [stage("m", "tune", size=size) for size in (1e7, 1e8, 1e9)]
    calibration = calibrated(*own, *slow, stage("m", "train", size=1e10))
    m, other = (calibration.seconds(name, "tune", 50, 50e9) for name in ("m", "slow"))
    assert other == pytest.approx(3 * m, rel=0.05)
    # What has never run anywhere is taken to be as what has the name, then as all.
    assert m <= calibration.seconds("new", "tune", 50, 50e9) <= other


def test_the_nearest_in_size_count_first() -> None:
    near = [stage("m", size=1e9 * n, slow=2) for n in (1, 1.1, 1.2)]
    far = [stage("m", size=1e4 * n) for n in range(1, 9)]
    calibration = calibrated(*near, *far)
    assert calibration.seconds("m", "train", 10, 1.05e10) == pytest.approx(
        2 * 10 * (A_STEP + A_FLOP * 1.05e9), rel=0.1
    )


def test_from_one_record_time_goes_with_arithmetic() -> None:
    calibration = calibrated(stage(steps=10, size=1e9))
    once = calibration.seconds("m", "train", 10, 1e10)
    assert once == pytest.approx(stage(steps=10, size=1e9).seconds)
    assert calibration.seconds("n", "tune", 20, 1e10) == pytest.approx(once)
    assert calibration.seconds("n", "tune", 20, 2e10) == pytest.approx(2 * once)


def test_nothing_is_made_up_where_nothing_has_run() -> None:
    calibration = calibrated()
    assert calibration.seconds("m", "train", 1, 1.0) is None
    assert calibration.rest_seconds("d", "t", "m", 10) is None
    assert "measured just now" in calibration.text
    assert calibrated(stage()).seconds("m", "count", 1, 0.0) is None


def test_the_machine_at_hand_counts_before_others_and_others_are_named() -> None:
    there = [stage(machine=THERE, slow=100, size=size) for size in (1e7, 1e9)]
    both = calibrated(stage(), *there)
    assert both.seconds("m", "train", 100, 1e11) == pytest.approx(stage().seconds)
    assert "not this machine" not in both.text
    other = calibrated(*there)
    assert other.seconds("m", "train", 100, 1e11) == pytest.approx(100 * stage().seconds)
    assert "8 threads of another, which is not this machine" in other.text


def test_records_tell_each_stage_once_and_what_is_no_stage() -> None:
    own = Stage(name="encoder", seconds=4.0, steps=10, flops=1e9)
    shared = own.model_copy(update={"reused": True})
    tune = Stage(name="tune", seconds=2.0, steps=5, flops=1e8)
    uncounted = Stage(name="train", seconds=2.0, steps=5)  # of a version that counted nothing
    records = [
        make_record("user_llm", fit=Fit(seconds=6.0, wall_seconds=3.5, stages=(shared, tune))),
        make_record("user_encoder", fit=Fit(seconds=4.0, wall_seconds=4.5, stages=(own,))),
        make_record("sasrec", fit=Fit(seconds=2.0, wall_seconds=2.0, stages=(uncounted,))),
        make_record("x", imported={"name": "answers", "sha256": ""}),
    ]
    past = read_past(records)
    assert [(s.name, s.steps, s.flops, s.seconds) for s in past.stages] == [
        ("tune", 5, 1e8, 2.0), ("encoder", 10, 1e9, 4.0),
    ]  # fmt: skip
    assert [cell.rest_seconds for cell in past.cells] == [2.5, 1.5, 1.0]
    calibration = Calibration(past, past.cells[0].machine)
    assert calibration.rest_seconds("ml-100k", "next_item", "user_llm", 7) == 2.5
    assert calibration.rest_seconds("larger", "next_item", "user_llm", 400) == pytest.approx(5.0)
    assert calibration.rest_seconds("ml-100k", "favorite_genre", "user_llm", 7) is None
