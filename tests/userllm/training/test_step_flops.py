"""What training steps cost: which are metered, and what comes out."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.fakes import Silent
from userllm.config import OptimizerSettings
from userllm.training.loop import Stage, run_stage
from userllm.training.step_flops import METERED_STEPS, Meter, metered_steps


class Learner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 6, bias=False)

    def training_loss(self, batch: Tensor) -> Tensor:
        return self.layer(batch).square().mean()


def stage(rows: list[int], steps: int, **optimizer: object) -> Stage:
    def batches():
        while True:
            yield from (torch.ones(count, 4) for count in rows)

    return Stage("train", batches(), steps, 1.0, 1.0, OptimizerSettings(**optimizer))


@given(st.integers(1, 10_000))
def test_metered_steps_are_steps_of_the_stage_spread_evenly(steps: int) -> None:
    metered = sorted(metered_steps(steps))
    assert metered[0] == 1
    assert metered[-1] <= steps
    assert len(metered) == min(METERED_STEPS, steps)
    gaps = [after - before for before, after in itertools.pairwise(metered)]
    assert not gaps or max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("steps", [1, 5, 40])
def test_a_stage_costs_its_steps_forward_and_backward(steps: int) -> None:
    report = run_stage(Learner(), stage([3], steps), Silent())
    # The batch needs no gradient: forward, and one product back for the weights.
    assert report.flops == steps * 2 * (2 * 3 * 4 * 6)


def test_every_batch_of_a_step_counts() -> None:
    report = run_stage(Learner(), stage([3, 5], 6, accumulate=2), Silent())
    assert report.flops == 6 * 2 * (2 * (3 + 5) * 4 * 6)


def test_a_meter_that_is_not_due_counts_nothing() -> None:
    meter = Meter(100)
    meter.begin(2)
    assert meter.end() is None
