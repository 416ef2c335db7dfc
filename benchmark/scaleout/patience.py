"""How long a cell may take, where its time is limited."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from benchmark.scaleout.flight import Flight

_OPENING_SECONDS = 600.0
"""How long a worker may take to open its world."""


def overdue(
    flying: Sequence[Flight], made: Collection[str], limit: float, now: float
) -> list[Flight]:
    """The cells that have had their time.

    Whoever waits for a stage has time as long as the cell that makes it.

    Args:
        flying: The cells that are out, in the order in which they were handed out.
        made: Stages of the cells that have ended.
        limit: Seconds of a cell.
        now: By the clock of `Flight.begun`.
    """
    late = []
    for place, flight in enumerate(flying):
        allowed = limit if flight.open else max(limit, _OPENING_SECONDS)
        waits = any(_shared(flight, own, made) for own in flying[:place])
        if not waits and now - flight.begun > allowed:
            late.append(flight)
    return late


def ended(flight: Flight, flying: Iterable[Flight], made: Collection[str], now: float) -> None:
    """A cell has ended: the time of those that waited for its stages begins.

    Args:
        flight: The cell.
        flying: Those that are out.
        made: Stages of the cells that ended before it.
        now: By the clock of `Flight.begun`.
    """
    for other in flying:
        if _shared(flight, other, made):
            other.begun = now


def _shared(one: Flight, other: Flight, made: Collection[str]) -> bool:
    """Whether two cells need a stage that is not yet made."""
    return not (one.stages & other.stages).issubset(made)
