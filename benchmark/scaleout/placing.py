"""Which cell goes to the workers next, and which cells no worker can hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from benchmark.scaleout.demands import described, holds
from benchmark.scaleout.flight import Flight
from benchmark.scaleout.order import next_of

_LOOK_SECONDS = 0.5
_PATIENCE_SECONDS = 60.0
"""How long there may be no worker that could hold a cell: one that died may come back."""


class Placing:
    """Knows the workers. Dask places a cell that was handed out; here is decided when that is.

    No more cells are out than there are workers: what kills a worker is then known, and the order
    in which cells begin stays ours.

    Args:
        look: Returns the workers that are there, with their resources.
        clock: Seconds from any origin.

    Attributes:
        workers: Resources of those that are there, by address.
    """

    def __init__(
        self,
        look: Callable[[], Mapping[str, Mapping[str, Any]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look, self._clock = look, clock
        self._looked, self._begun = float("-inf"), clock()
        self.workers: dict[str, Mapping[str, float]] = {}
        self._held: dict[str, float] = {}

    def look(self) -> None:
        """Asks who is there, where the last answer is no longer fresh."""
        if self._clock() - self._looked >= _LOOK_SECONDS:
            found = self._look()
            self.workers = {address: own["resources"] for address, own in found.items()}
            self._looked = self._clock()

    def hopeless(self, flight: Flight) -> str:
        """Why no worker will ever hold a cell; "" where one can, or may come back."""
        now = self._clock()
        if any(holds(own, flight.demand) for own in self.workers.values()):
            self._held[flight.token] = now
            return ""
        # Where there are workers and none of them was ever large enough, nothing is waited for.
        never = float("-inf") if self.workers else self._begun
        if now - self._held.get(flight.token, never) <= _PATIENCE_SECONDS:
            return ""
        if not self.workers:
            return f"there is no worker, and in {_PATIENCE_SECONDS:g} s none came"
        most: dict[str, float] = {}
        for resources in self.workers.values():
            most |= {n: max(amount, most.get(n, 0.0)) for n, amount in resources.items()}
        return (
            f"no worker can hold it: it asks for {described(flight.demand)}, and the most that "
            f"one has is {described(most)}"
        )

    def next(
        self, waiting: Sequence[Flight], flying: Collection[Flight], made: Collection[str]
    ) -> Flight | None:
        """The cell to hand out; None where every worker that could hold one is taken."""
        if len(flying) >= len(self.workers):
            return None
        able = [own for own in waiting if self._room(own, flying)]
        if not able:
            return None
        stages = [own.stages for own in able]
        return able[next_of(stages, [own.stages for own in flying], made)]

    def _room(self, flight: Flight, flying: Collection[Flight]) -> bool:
        """Whether fewer cells that ask the same are out than there are workers that hold one."""
        able = sum(holds(resources, flight.demand) for resources in self.workers.values())
        return able > sum(own.demand == flight.demand for own in flying)
