"""What one call of `tune` asks of every method, and what came of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.config import RunConfig
from benchmark.tables import Tables
from benchmark.tuning.study import Attempt


@dataclass(frozen=True)
class Search:
    """What one call asks of every method.

    Attributes:
        config: The run that trials are cells of: one task and seed, part validation.
        tables: What can be named.
        trials: Most trials of a method, those of earlier calls counted.
        seconds: Of training and evaluation after which a method begins no further trial, likewise;
            those of the search of its encoder, on which it stands, are part of them.
        metric: What is optimised.
        out: Folder of the file of tuned settings; records and journals lie in the run's.
        anew: Whether earlier trials are forgotten.
        command: What the user typed.
    """

    config: RunConfig
    tables: Tables
    trials: int
    seconds: float
    metric: str
    out: Path
    anew: bool
    command: str

    @property
    def name(self) -> str:
        """What the file is called: data set, task, and the split where it is not the usual one."""
        config = self.config
        split = "" if config.split == "last" else f"-{config.split}"
        return f"{config.dataset}-{config.task[0]}{split}".replace("/", "-")

    @property
    def file(self) -> Path:
        """Where the settings that were found are kept."""
        return self.out / f"{self.name}.yaml"

    def journal(self, method: str) -> Path:
        """Where the trials of a method are kept."""
        return self.config.out / f"{self.name}-{method.replace('/', '-')}.journal"


@dataclass(frozen=True)
class Outcome:
    """What a search of one method came to.

    Attributes:
        method: Its name.
        na: Why the method does not apply; "" where it does.
        entry: What the file says of it; empty where no trial has a value.
        attempts: All trials, in order.
        notes: What should be known of the file.
        encoder_seconds: Of the search of its encoder, on which it stands.
    """

    method: str
    na: str = ""
    entry: Mapping[str, Any] | None = None
    attempts: tuple[Attempt, ...] = ()
    notes: tuple[str, ...] = ()
    encoder_seconds: float = 0.0

    @property
    def totals(self) -> tuple[int, int, float]:
        """Trials, how many of them failed, and the seconds of all, without the encoder's."""
        failed = sum(own.value is None for own in self.attempts)
        seconds = sum(own.seconds for own in self.attempts)
        return len(self.attempts), failed, round(seconds, 2)
