"""What training steps cost: some steps of a stage are metered, forward and backward."""

from __future__ import annotations

from contextlib import ExitStack

from benchmark.cost.running import FlopCounter

METERED_STEPS = 8
"""Steps of a stage that are metered; the others are taken to cost their mean."""


def metered_steps(steps: int) -> frozenset[int]:
    """Which steps of a stage are metered, counted from 1: the first, and others evenly behind."""
    shown = min(METERED_STEPS, steps)
    return frozenset(1 + n * steps // shown for n in range(shown))


class Meter:
    """Opens a counter around the batches of the metered steps of a stage.

    Args:
        steps: Of the stage.
    """

    def __init__(self, steps: int) -> None:
        self._due = metered_steps(steps)
        self._open = ExitStack()
        self._counter: FlopCounter | None = None

    def begin(self, step: int) -> None:
        """A batch of a step begins; steps count from 1."""
        if step in self._due and self._counter is None:
            self._counter = self._open.enter_context(FlopCounter())

    def end(self) -> float | None:
        """Its last batch is over: what the step took; None where it was not metered."""
        counter, self._counter = self._counter, None
        self._open.close()
        return None if counter is None else counter.flops
