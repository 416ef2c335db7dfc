"""The time of day, as records state it: it never runs backwards while a process lives."""

from __future__ import annotations

import datetime
import time


class WallClock:
    """Says when it is, and goes on from there where somebody sets the machine's clock back.

    What is later is later in what it says too, so that of two records the one made last is known.
    Durations are measured by clocks that nobody can set.
    """

    def __init__(self) -> None:
        self._said, self._at = time.time(), time.monotonic()

    def now(self) -> str:
        """The time in UTC, ISO 8601, whole seconds."""
        at = time.monotonic()
        self._said, self._at = max(time.time(), self._said + at - self._at), at
        told = datetime.datetime.fromtimestamp(self._said, datetime.timezone.utc)
        return told.isoformat(timespec="seconds")


CLOCK = WallClock()
"""That of this process."""
