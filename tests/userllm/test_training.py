from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmark.types import StageReport
from userllm.cache import cached_stage, stage_key
from userllm.config import OptimizerSettings
from userllm.training import Stage, run_stage, train_mode


class Quiet:
    def stage(self, name: str, total_epochs: float | None = None) -> None: ...
    def update(
        self, epoch: float, loss: float | None = None, value: float | None = None
    ) -> None: ...
    def note(self, text: str) -> None: ...


class Line(nn.Module):
    """Learns that y = 3x."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(1))

    def training_loss(self, batch: Tensor) -> Tensor:
        return ((self.slope * batch - 3 * batch) ** 2).mean()


def stage(**changes: object) -> Stage:
    fields: dict[str, object] = {
        "name": "line",
        "batches": itertools.repeat(torch.ones(4)),
        "steps": 60,
        "steps_per_epoch": 10,
        "targets_per_step": 4,
        "optimizer": OptimizerSettings(learning_rate=0.3, weight_decay=0.0),
    }
    return Stage(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_stage_learns_and_reports_what_it_took() -> None:
    line = Line()
    report = run_stage(line, stage(), Quiet())
    assert line.slope.item() == pytest.approx(3, abs=0.1)
    assert (report.steps, report.epochs, report.targets) == (60, 6.0, 240)
    assert report.seconds > 0
    assert report.stopped == "budget"


def test_the_best_look_is_kept_and_looking_stops_early() -> None:
    line, values = Line(), iter([1.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    slopes: list[float] = []

    def look() -> float:
        slopes.append(line.slope.item())
        return next(values)

    report = run_stage(line, stage(validate=look, looks=6, patience=2), Quiet())
    assert [point.value for point in report.curve] == [1.0, 5.0, 4.0, 3.0]
    assert report.stopped == "early"
    assert report.steps == 40
    assert line.slope.item() == slopes[1]


def test_a_loss_that_is_no_number_stops_with_a_clear_error() -> None:
    class Broken(Line):
        def training_loss(self, batch: Tensor) -> Tensor:
            return super().training_loss(batch) * float("nan")

    with pytest.raises(FloatingPointError, match="loss became nan at step 1"):
        run_stage(Broken(), stage(), Quiet())


def test_an_interrupt_reaches_the_caller() -> None:
    class Interrupted(Line):
        def training_loss(self, batch: Tensor) -> Tensor:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(Interrupted(), stage(), Quiet())


def test_a_module_without_a_loss_is_refused() -> None:
    with pytest.raises(TypeError, match="training_loss"):
        run_stage(nn.Linear(1, 1), stage(), Quiet())


def test_a_cached_stage_is_built_once_and_appears_whole(tmp_path: Path) -> None:
    built = []

    def build(folder: Path) -> StageReport:
        built.append(folder)
        (folder / "weights").write_text("w")
        return StageReport("s", 1.5, steps=3)

    key = stage_key("s", seed=1)
    first, report = cached_stage(tmp_path, key, build)
    second, again = cached_stage(tmp_path, key, build)
    assert len(built) == 1
    assert first == second
    assert (first / "weights").read_text() == "w"
    assert (report.reused, again.reused, again.seconds) == (False, True, 1.5)


def test_a_failed_stage_leaves_nothing_and_a_broken_one_is_built_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> StageReport:
        (folder / "half").write_text("")
        raise RuntimeError

    key = stage_key("s", seed=1)
    with pytest.raises(RuntimeError):
        cached_stage(tmp_path, key, fail)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / key).mkdir()
    (tmp_path / key / "stage.json").write_text("{")
    place, report = cached_stage(tmp_path, key, lambda folder: StageReport("s", 1.0))
    assert not report.reused
    assert json.loads((place / "stage.json").read_text())["seconds"] == 1.0


def test_a_key_changes_with_its_parts() -> None:
    assert len({stage_key("s", a=1), stage_key("s", a=2), stage_key("t", a=1)}) == 3


class Noisy(nn.Module):
    """A frozen part and a part that learns, both with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).requires_grad_(False)
        self.learning = nn.Sequential(nn.Linear(4, 1), nn.Dropout(0.5))

    def training_loss(self, batch: Tensor) -> Tensor:
        return self.learning(self.frozen(batch)).square().mean()


def test_looking_does_not_change_what_is_learnt() -> None:
    weights = []
    for looks in (0, 1):
        torch.manual_seed(0)
        noisy = Noisy().eval()  # as a model that was just loaded
        run_stage(noisy, stage(validate=lambda: 1.0, looks=looks, steps=5), Quiet())
        weights.append(noisy.learning[0].weight.detach().clone())
    # Each look is better than the one before, so the last one is kept.
    torch.manual_seed(0)
    last = Noisy().eval()
    values = iter([1.0, 2.0, 3.0, 4.0, 5.0])
    run_stage(last, stage(validate=lambda: next(values), looks=5, steps=5), Quiet())
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], last.learning[0].weight)


def test_frozen_parts_stay_in_evaluation_mode() -> None:
    noisy = Noisy().eval()
    train_mode(noisy)
    assert noisy.training
    assert noisy.learning[1].training
    assert not noisy.frozen[1].training
