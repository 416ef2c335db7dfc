"""How a task asks a method, without judging what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.data.histories import Examples
from benchmark.goals import Goal
from benchmark.types import HistoryBatch


@dataclass(frozen=True)
class Asking:
    """The questions of a part of a split, ready to be put to a method again.

    Attributes:
        examples: What is asked about.
        goal: What is asked.
        answer: Puts some questions to a method: gets the method, its histories and which examples
            they are, `[B]`.
        prompts: What is told of some examples, `[B]` texts; none where a task tells nothing.
        window: Most events of a history that anybody reads; None = all.
        written: Whether what users wrote comes along.
    """

    examples: Examples
    goal: Goal
    answer: Callable[[Any, HistoryBatch, np.ndarray], object]
    prompts: Callable[[np.ndarray], list[str]] = lambda rows: []
    window: int | None = None
    written: bool = False

    def histories(self, method: Any, rows: np.ndarray) -> HistoryBatch:
        """Histories of some examples as a method gets them, none padded beyond the longest.

        Args:
            method: Says how many events it reads.
            rows: `[B]` which examples.
        """
        length: int = method.history_length
        length = length if self.window is None else min(length, self.window)
        own = self.examples.only(rows)
        length = max(1, min(length, int((own.stops - own.starts).max())))
        return own.log.gather(own.starts, own.stops, length, written=self.written)
