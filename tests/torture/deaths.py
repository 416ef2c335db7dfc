"""When and how a life ends, drawn from a seed."""

from __future__ import annotations

import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["clock", "file", "within", "start"]
"""By the clock; before a file operation; a moment after one began; by the clock, in a process that
has everything to import yet."""
_KINDS: tuple[tuple[Kind, int], ...] = (("clock", 9), ("file", 6), ("within", 4), ("start", 1))

_SPARED = 0.15
"""Share of deaths that are a child's alone, where children are killed too. Such a life goes on to
its end, so it takes as long as a dozen others."""


@dataclass(frozen=True)
class Death:
    """What kills a life.

    Attributes:
        kind: See `Kind`.
        seconds: After which the clock kills.
        operation: Which file operation of the life does, from 1.
        signal: What kills it; of another than SIGKILL it knows.
        child: Which of its child processes is killed first, as a share of their number; None = the
            process itself.
        spared: Whether that child alone is killed, the first time that there is one after
            `seconds`: the life is to go on by itself.
    """

    kind: Kind
    seconds: float = 0.0
    operation: int = 0
    signal: int = signal.SIGKILL
    child: float | None = None
    spared: bool = False


class Deaths:
    """Draws deaths.

    Args:
        seed: Equal seeds give equal deaths of equally long lives.
        seconds: Of a life that nobody kills.
        operations: File operations of it.
        lives: Lives that it should take to finish, about.
        start_seconds: Of a process that begins with its imports, until it begins a cell.
        signals: What kills, each in turn.
        children: Whether child processes are killed too, with the process itself or alone.
    """

    def __init__(
        self,
        seed: int,
        seconds: float,
        operations: int,
        lives: int,
        start_seconds: float,
        *,
        signals: Sequence[int] = (signal.SIGKILL,),
        children: bool = False,
    ) -> None:
        self._random = random.Random(seed)
        self._whole_seconds = seconds
        self._seconds = seconds / lives
        self._operations = operations / lives
        self._start_seconds = start_seconds
        self._signals = signals
        self._children = children
        self._drawn = 0

    def draw(self, patience: float) -> Death:
        """The next death.

        Args:
            patience: How many times longer than usual the life may last.
        """
        # All is drawn whatever the kind is, so that a death hangs on its number alone.
        kinds, weights = zip(*_KINDS, strict=True)
        kind: Kind = self._random.choices(kinds, weights)[0]
        share = self._random.expovariate(1.0)
        start = self._random.uniform(0, self._start_seconds)
        child = self._random.random() if self._random.random() < 0.5 else None
        spared, which, when = (self._random.random() for _ in range(3))
        seconds = start if kind == "start" else share * patience * self._seconds
        if self._children and spared < _SPARED:
            # Nothing else is lost with it, and it may come as late as it likes.
            kind, child, seconds = "clock", which, when * self._whole_seconds
        elif not self._children or kind not in ("clock", "start"):
            child = None
        self._drawn += 1
        return Death(
            signal=self._signals[self._drawn % len(self._signals)],
            kind=kind,
            seconds=seconds,
            operation=1 + int(share * patience * self._operations),
            child=child,
            spared=self._children and spared < _SPARED,
        )
