"""Who of the workers is given cells: those that have said what they are, and are still heard of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from benchmark.errors import UserError
from benchmark.runs.failures import explain

Workers = Mapping[str, Mapping[str, Any]]
"""What the scheduler says of workers, by address."""

TOGETHER_SECONDS = 10.0
"""How long the first cells of a command wait for the answers of those that are there then."""
SILENT_SECONDS = 60.0
"""After which a worker is left out that does not answer, or gives no sign of life any more."""
_AGAIN_SECONDS = 30.0
"""After which one that could not be reached is asked again."""
_HEARD_SECONDS = 5.0
"""What counts at most of the time between two looks: who was stopped himself has not listened."""
_NAMED = 5
_NOBODY: Workers = MappingProxyType({})


class Present(NamedTuple):
    """The workers that are there.

    Attributes:
        ready: Who is given cells.
        awaited: Who was asked and has not answered yet.
        silent: Who is left out until it is heard of again.
        soon: Whether the first cells should wait for who is awaited.
    """

    ready: Workers
    awaited: Workers = _NOBODY
    silent: Workers = _NOBODY
    soon: bool = False


class Asking(Protocol):
    """See `benchmark.scaleout.inspection.Inspector`."""

    def check_start(self, workers: Workers) -> None:
        """Raises a `UserError` where one is refused."""

    def ask(self, address: str) -> Future[Mapping[str, object]]:
        """Asks one worker."""

    def refusal(self, said: object) -> str:
        """Why its answer is refused."""


@dataclass
class _Known:
    """A worker: when it was asked, first and last, and when it was heard of."""

    asked: Future[Mapping[str, object]]
    sent: float
    heard: float
    seen: float  # by the scheduler, at its last sign of life
    why: str = ""  # it could not be reached
    answered: bool = False
    left_out: bool = False


class Roster:
    """Knows the workers of one command; nothing that it does waits for one of them.

    Args:
        note: Says something to the user.
        clock: Seconds from any origin.
    """

    def __init__(
        self, note: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._note, self._clock = note, clock
        self._now, self._looked = 0.0, clock()
        self._known: dict[str, _Known] = {}
        self._begun: float | None = None
        self._answered = False

    def look(self, found: Workers, inspector: Asking) -> Present:
        """Sorts the workers that are there, and asks those that were not asked before.

        Raises:
            UserError: One is refused, or none has ever answered and all have had their time.
            OSError: The scheduler is gone.
        """
        now = self._clock()
        self._now += min(now - self._looked, _HEARD_SECONDS)
        self._looked = now
        if self._begun is None and found:
            self._begun = self._now
        for address in self._known.keys() - found.keys():
            self._known.pop(address).asked.cancel()
        new = {address: own for address, own in found.items() if address not in self._known}
        inspector.check_start(new)
        for address, own in new.items():
            asked = inspector.ask(address)
            self._known[address] = _Known(asked, self._now, self._now, own["last_seen"])
        for address, own in found.items():
            self._hear(address, own["last_seen"], inspector)
        return self._sorted(found)

    def close(self) -> None:
        """Waits for nobody any more."""
        for known in self._known.values():
            known.asked.cancel()

    def _hear(self, address: str, seen: float, inspector: Asking) -> None:
        """Takes an answer, and signs of life after it."""
        known = self._known[address]
        if known.answered:
            if seen != known.seen:
                known.seen, known.heard = seen, self._now
            return
        if not known.asked.done():
            return
        said = known.asked.result()[address]
        if isinstance(said, OSError | TimeoutError | asyncio.TimeoutError):
            known.why = f" ({explain(said)})"  # it goes at this moment, or it hangs
            if self._now - known.sent >= _AGAIN_SECONDS:
                known.asked, known.sent = inspector.ask(address), self._now
            return
        reason = inspector.refusal(said)
        if reason:
            del self._known[address]  # whoever looks next is told as well
            raise UserError(f"worker {address} {reason}")
        known.answered, known.why, self._answered = True, "", True
        known.seen, known.heard = seen, self._now

    def _sorted(self, found: Workers) -> Present:
        silent = {a for a in found if self._now - self._known[a].heard > SILENT_SECONDS}
        awaited = {a for a in found if not self._known[a].answered} - silent
        if found and silent == found.keys() and not self._answered:
            names = [address + self._known[address].why for address in found]
            more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
            raise UserError(
                f"no worker has answered in {SILENT_SECONDS:g} s: start anew what hangs: "
                + ", ".join(names[:_NAMED] + more)
            )
        for address in found:
            self._say(address, address in silent)
        return Present(
            {a: own for a, own in found.items() if a not in awaited | silent},
            {a: own for a, own in found.items() if a in awaited},
            {a: own for a, own in found.items() if a in silent},
            bool(awaited) and self._now - (self._begun or 0.0) <= TOGETHER_SECONDS,
        )

    def _say(self, address: str, silent: bool) -> None:
        known = self._known[address]
        if silent and not known.left_out:
            self._note(
                f"worker {address} has not answered for {SILENT_SECONDS:g} s{known.why}: it is "
                "given nothing until it does"
            )
        elif known.left_out and not silent:
            self._note(f"worker {address} answers again")
        known.left_out = silent
