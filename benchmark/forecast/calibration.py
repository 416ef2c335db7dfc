"""Seconds from arithmetic, by what has run. Free of torch.

A step takes a while whatever it computes, and a while for each operation. Both are fitted to all
stages that ran on one machine; how far the stages of a kind were off by that, the ones nearest in
size first, says how far others of the kind will be.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeVar

import numpy as np

from benchmark.forecast.past import Machine, Past, PastCell, PastStage

_NEAREST = 3
"""So many stages of a kind say how far it is off."""
T = TypeVar("T")


class Calibration:
    """What seconds are estimated by.

    Args:
        past: What has run.
        here: The machine at hand; where nothing ran on it, the one that most ran on stands in.
    """

    def __init__(self, past: Past, here: Machine) -> None:
        machines = Counter(stage.machine for stage in past.stages)
        machines.update(cell.machine for cell in past.cells)
        self.machine = here
        self.elsewhere = bool(machines) and here not in machines
        if self.elsewhere:
            self.machine = machines.most_common(1)[0][0]
        self._stages = [stage for stage in past.stages if stage.machine == self.machine]
        self._cells = [cell for cell in past.cells if cell.machine == self.machine]
        self._a_step, self._a_flop = _fitted(self._stages)

    @property
    def text(self) -> str:
        """What the estimates rest on, in one line."""
        if not self._stages:
            return "nothing that has run: seconds are those of a few steps, measured just now"
        name, threads, accelerator = self.machine
        place = f"{threads} thread{'' if threads == 1 else 's'} of {name}"
        if accelerator != "cpu":
            place = name
        other = ", which is not this machine" if self.elsewhere else ""
        return f"{len(self._stages)} stages in --out that ran on {place}{other}"

    def seconds(self, method: str, name: str, steps: int, flops: float) -> float | None:
        """What a stage takes; None where nothing is known.

        Args:
            method: Whose it is.
            name: Its name.
            steps: Of the whole stage, more than 0.
            flops: Of all of these.
        """
        if not self._stages or flops <= 0:
            return None

        def off(stage: PastStage) -> float:
            return stage.seconds / self._plainly(stage.steps, stage.flops)

        kinds: tuple[Callable[[PastStage], bool], ...] = (
            lambda stage: (stage.method, stage.name) == (method, name),
            lambda stage: stage.name == name,
            lambda stage: True,
        )
        size = flops / steps

        def distance(stage: PastStage) -> float:
            return abs(math.log(stage.flops / stage.steps / size))

        alike = sorted(_first(self._stages, kinds), key=distance)
        # All of one size are told apart by nothing: each says as much as the others.
        bound = distance(alike[:_NEAREST][-1]) + 0.01
        factor = median(off(stage) for stage in alike if distance(stage) <= bound)
        return self._plainly(steps, flops) * factor

    def rest_seconds(self, dataset: str, task: str, method: str, users: int) -> float | None:
        """What building, looks and judging take beside training; None where nothing is known.

        Args:
            dataset: What is asked about.
            task: What is asked.
            method: Who answers.
            users: How many are asked about.
        """

        def same(cell: PastCell) -> bool:
            return (cell.task, cell.method) == (task, method)

        there = [cell for cell in self._cells if same(cell) and cell.dataset == dataset]
        if there:
            return median(cell.rest_seconds for cell in there)
        found = [cell for cell in self._cells if same(cell) and cell.users]
        if not found:
            return None
        return users * median(cell.rest_seconds / cell.users for cell in found)

    def counts(self, method: str) -> bool:
        """Whether a method has run here and trained nothing."""
        own = [cell for cell in self._cells if cell.method == method]
        return bool(own) and all(cell.counted for cell in own)

    def _plainly(self, steps: int, flops: float) -> float:
        return steps * self._a_step + flops * self._a_flop


def _first(parts: Sequence[T], kinds: Sequence[Callable[[T], bool]]) -> list[T]:
    """The parts of the first kind that there are any of."""
    return next(found for kind in kinds if (found := [part for part in parts if kind(part)]))


def _fitted(stages: Sequence[PastStage]) -> tuple[float, float]:
    """Seconds of a step and of an operation, for the least relative errors; neither below 0."""
    from scipy.optimize import nnls

    if not stages:
        return 0.0, 0.0
    sizes = np.array([stage.flops / stage.steps for stage in stages])
    seconds = np.array([stage.seconds / stage.steps for stage in stages])
    if np.ptp(np.log(sizes)) < 0.01:  # of one size: nothing tells the two apart
        return 0.0, float(np.median(seconds / sizes))
    scale = np.median(sizes)
    found, _ = nnls(np.stack([1 / seconds, sizes / scale / seconds], axis=1), np.ones(len(stages)))
    return float(found[0]), float(found[1] / scale)
