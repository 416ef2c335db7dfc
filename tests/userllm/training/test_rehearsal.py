from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmark.types import StageReport
from userllm.config import OptimizerSettings
from userllm.progress import Silent
from userllm.training.cache import cached_stage
from userllm.training.loop import Stage, run_stage
from userllm.training.rehearsal import open_rehearsal, rehearsing


class Product(nn.Module):
    """A matrix product of known cost: `6 * B * 8 * 8` of forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8, bias=False)
        self.asked: list[int] = []

    def training_loss(self, batch: Tensor) -> Tensor:
        self.asked.append(len(batch))
        return self.layer(batch).square().mean()


def stage(sizes: list[int], steps: int, accumulate: int = 1) -> Stage:
    rows = (torch.ones(size, 8, requires_grad=True) for size in itertools.cycle(sizes))
    return Stage(
        name="product",
        batches=rows,
        steps=steps,
        steps_per_epoch=2,
        targets_per_step=3,
        optimizer=OptimizerSettings(accumulate=accumulate),
    )


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("steps", [1, 2, 5, 40])
def test_the_report_is_that_of_training_and_weights_stay(
    tmp_path: Path, steps: int, accumulate: int
) -> None:
    torch.manual_seed(0)
    learner, trained = Product(), Product()
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    with rehearsing(tmp_path) as rehearsal:
        told = run_stage(learner, stage([4], steps, accumulate), Silent())
    real = run_stage(trained, stage([4], steps, accumulate), Silent())
    assert replace(told, seconds=0) == replace(real, seconds=0)
    assert told.flops == 6 * 4 * 64 * steps * accumulate
    assert told.seconds > 0
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    assert all(weight.grad is None for weight in learner.parameters())
    assert [(own.name, own.steps, own.begun) for own in rehearsal.stages] == [("product", steps, 0)]
    assert open_rehearsal() is None


def test_a_stage_that_changes_halfway_is_seen_before_and_behind(tmp_path: Path) -> None:
    with rehearsing(tmp_path):
        told = run_stage(Product(), stage([2] * 10 + [6] * 10, 20), Silent())
    assert told.flops == 6 * 4 * 64 * 20


def test_batches_of_many_sizes_count_by_their_mean(tmp_path: Path) -> None:
    sizes = [1, 1, *[9] * 6]
    with rehearsing(tmp_path):
        told = run_stage(Product(), stage(sizes, 64), Silent())
    assert told.flops == pytest.approx(6 * 64 * sum(sizes) / len(sizes) * 64)


def test_the_cache_is_read_and_left_alone(tmp_path: Path) -> None:
    cache, scratch = tmp_path / "cache", tmp_path / "scratch"
    built = []

    def build(folder: Path) -> StageReport:
        built.append(folder)
        return StageReport("s", 1.0)

    with rehearsing(scratch) as rehearsal:
        first = cached_stage(cache, "one", build)[1]
        second = cached_stage(cache, "one", build)[1]
    assert (first.reused, second.reused, len(built)) == (False, True, 1)
    assert rehearsal.found == [False]
    assert not cache.exists()
    cached_stage(cache, "one", build)
    with rehearsing(scratch) as rehearsal:
        assert cached_stage(cache, "one", build)[1].reused
    assert rehearsal.found == [True]
    assert len(built) == 2
