"""A cell's progress on its way to the caller."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

_SECONDS_BETWEEN_UPDATES = 1.0


class Relay:
    """The `RunProgress` of a cell on a worker: sends what it is told.

    Args:
        send: Takes one message: plain values by name.
        token: Tells the caller which cell it is.
        key: Tells it which task: one that was taken back may still run.
        clock: Seconds from any origin.
    """

    def __init__(
        self,
        send: Callable[[Mapping[str, Any]], None],
        token: str,
        key: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send, self._token, self._key, self._clock = send, token, key, clock
        self._sent = -float("inf")
        self.said = ""
        self._held: dict[str, float | None] = {}

    def taken(self, worker: str) -> None:
        """A worker has taken the cell, and opens the world."""
        self._tell("taken", worker=worker)

    def begin(self, title: str) -> None:
        """See `RunProgress`: the world is open; the caller knows the title."""
        self._tell("begin")

    def waits(self, whether: bool) -> None:
        """The cell waits for another process from now on, or no longer."""
        self._tell("waits" if whether else "goes on")

    def stage(self, name: str, total_epochs: float | None = None) -> None:
        """See `Progress`."""
        self._let_go()
        self._tell("stage", name=name, total_epochs=total_epochs)

    def update(self, epoch: float, loss: float | None = None, value: float | None = None) -> None:
        """See `Progress`; of many in a second the last is sent, with the latest loss and value."""
        given = {"loss": loss, "value": value}
        news = {name: float(number) for name, number in given.items() if number is not None}
        self._held = {**self._held, "epoch": float(epoch), **news}
        if self._clock() - self._sent >= _SECONDS_BETWEEN_UPDATES:
            self._let_go()

    def note(self, text: str) -> None:
        """See `Progress`."""
        self._tell("note", text=text)

    def finish(self, text: str) -> None:
        """See `RunProgress`; what is said comes with the answer."""
        self._let_go()
        self.said = text

    def close(self) -> None:
        """See `RunProgress`."""

    def _let_go(self) -> None:
        if self._held:
            held, self._held = self._held, {}
            self._sent = self._clock()
            self._tell("update", **held)

    def _tell(self, what: str, **values: Any) -> None:
        # Dask puts values of its own beside ours.
        self._send({"token": self._token, "key": self._key, "what": what, "values": values})
