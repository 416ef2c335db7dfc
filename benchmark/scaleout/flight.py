"""One cell on its way through the workers: attempts, and how long the present one has taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.records.results import Row
from benchmark.runs.plan import Cell
from benchmark.runs.runner import error_log, row_of

if TYPE_CHECKING:
    from distributed import Future

_OPENING_SECONDS = 600.0
"""How long a worker may take to open its world, where the time of a cell is limited."""


@dataclass
class Flight:
    """A cell that is being settled.

    Attributes:
        row: What its row says before anything is known.
        cell: The cell.
        demand: What it asks of a worker.
        stages: See `stages_of`.
        token: What its messages are marked with.
        future: Of the task that is submitted; None while it waits.
        handed: When it was, by the caller's clock.
        bound: Addresses of the workers that the task may go to; None = any.
        attempts: Workers that have begun it.
        unheard: Deaths of workers that it was given to, and that had not begun it.
        worker: The one that has it; "" = none yet.
        begun: When that one took it, by the caller's clock, and then when its world was open.
        open: Whether it is.
        waits: Since when it waits for another process; None where it does not.
    """

    row: Row
    cell: Cell
    demand: Mapping[str, float]
    stages: frozenset[str]
    token: str
    future: Future[str] | None = None
    handed: float = 0.0
    bound: frozenset[str] | None = None
    attempts: int = 0
    unheard: int = 0
    worker: str = ""
    begun: float = 0.0
    open: bool = False
    waits: float | None = None

    def hear(self, what: str, now: float) -> bool:
        """Takes what its worker says of its time.

        Args:
            what: Of `Relay`.
            now: By the clock of `begun`.

        Returns:
            Whether it was about that.
        """
        if what == "begin":
            self.begun, self.open = now, True
        elif what == "waits":
            self.waits = now
        elif what == "goes on":
            self.begun += now - (now if self.waits is None else self.waits)
            self.waits = None
        else:
            return False
        return True

    def late(self, limit: float, now: float) -> bool:
        """Whether it has had its time.

        Args:
            limit: Seconds of a cell; how long it waits for others is not counted.
            now: By the clock of `begun`.
        """
        allowed = limit if self.open else max(limit, _OPENING_SECONDS)
        return self.waits is None and now - self.begun > allowed

    def failed(self, reason: str) -> Row:
        """The row of a cell that did not end by itself."""
        return self.row.model_copy(update={"error": reason})

    def settled(self, there: Row) -> Row:
        """The row that a worker gave, with files where this process sees them."""
        if there.record is not None:
            return row_of(there.record, self.cell)
        log = error_log(self.cell) if there.log else None
        return self.row.model_copy(update={"error": there.error, "log": log})
