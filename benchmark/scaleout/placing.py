"""Which cell goes to the workers next, and which cells no worker can hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from benchmark.scaleout.demands import described, holds
from benchmark.scaleout.flight import Flight
from benchmark.scaleout.order import next_of
from benchmark.scaleout.roster import Present

_LOOK_SECONDS = 0.5
_PATIENCE_SECONDS = 60.0
"""How long there may be no worker that could hold a cell: one that died may come back."""
_IN_LINE_SECONDS = 10.0
"""How long a cell that was handed out stands in line at least before it is taken back."""


class Placing:
    """Knows the workers. Dask places a cell that was handed out; here is decided when that is.

    No more cells are out than there are workers: what kills a worker is then known, and the order
    in which cells begin stays ours.

    Args:
        look: Returns the workers that are there, with what the scheduler says of them.
        clock: Seconds from any origin.

    Attributes:
        workers: Resources of those that may be given cells, by address.
        awaited: Of those that have not said yet what they are.
        silent: Of those that do not answer.
    """

    def __init__(
        self,
        look: Callable[[], Present],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look, self._clock = look, clock
        self._looked, self._begun = float("-inf"), clock()
        self.workers: dict[str, Mapping[str, float]] = {}
        self.awaited: dict[str, Mapping[str, float]] = {}
        self.silent: dict[str, Mapping[str, float]] = {}
        self._soon = False
        self._held: dict[str, float] = {}

    def look(self) -> None:
        """Asks who is there, where the last answer is no longer fresh."""
        if self._clock() - self._looked >= _LOOK_SECONDS:
            found = self._look()
            self.workers = _resources(found.ready)
            self.awaited, self.silent = _resources(found.awaited), _resources(found.silent)
            self._soon = found.soon
            self._looked = self._clock()

    @property
    def named(self) -> set[str]:
        """Resources that any worker names which may be given cells now or soon."""
        return {n for own in (*self.workers.values(), *self.awaited.values()) for n in own}

    @property
    def bound(self) -> frozenset[str] | None:
        """What a cell that is handed out now is bound to, see `Flight`: Dask knows all workers."""
        return frozenset(self.workers) if self.awaited or self.silent else None

    def lives(self, flight: Flight) -> bool:
        """Whether the worker that has begun a cell is there, be it silent."""
        return any(flight.worker in own for own in (self.workers, self.awaited, self.silent))

    def stuck(self, flight: Flight) -> bool:
        """Whether a cell that is out stands in line, maybe where nobody comes to take it.

        Dask may keep it at a worker that is silent, or, where it is bound, at one that is busy
        while one that has come is free; or it is bound to workers that are gone.
        """
        if self.lives(flight) or self._clock() - flight.handed < _IN_LINE_SECONDS:
            return False
        return bool(self.silent) if flight.bound is None else flight.bound != self.workers.keys()

    def hopeless(self, flight: Flight) -> str:
        """Why no worker will ever hold a cell; "" where one can, or may come back."""
        now = self._clock()
        there = (*self.workers.values(), *self.awaited.values())
        if any(holds(own, flight.demand) for own in there):
            self._held[flight.token] = now
            return ""
        # Where there are workers and none of them was ever large enough, nothing is waited for.
        never = float("-inf") if self.workers else self._begun
        if now - self._held.get(flight.token, never) <= _PATIENCE_SECONDS:
            return ""
        if not self.workers:
            there_is = "no worker that answers" if self.silent else "no worker"
            return f"there is {there_is}, and in {_PATIENCE_SECONDS:g} s none came"
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
        """The cell to hand out; None where every worker that could hold one is taken.

        The first wait a moment for all workers: one may be refused, and nothing is then begun.
        """
        taking = [own for own in flying if own.worker not in self.silent]
        if self._soon or len(taking) >= len(self.workers):
            return None
        able = [own for own in waiting if self._room(own, taking)]
        if not able:
            return None
        stages = [own.stages for own in able]
        return able[next_of(stages, [own.stages for own in flying], made)]

    def _room(self, flight: Flight, flying: Collection[Flight]) -> bool:
        """Whether fewer cells that ask the same are out than there are workers that hold one."""
        able = sum(holds(resources, flight.demand) for resources in self.workers.values())
        return able > sum(own.demand == flight.demand for own in flying)


def _resources(workers: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, float]]:
    return {address: own["resources"] for address, own in workers.items()}
