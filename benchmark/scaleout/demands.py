"""What cells ask of a worker, as Dask's resources: amounts by name. Imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmark.errors import UserError

THREADS, MEMORY, GPU = "threads", "memory", "GPU"


@dataclass(frozen=True)
class Demands:
    """What somebody asked for on the command line.

    Attributes:
        every: Of every cell, by the resource's name.
        methods: Of the cells of a method, which wins.
    """

    every: Mapping[str, float] = field(default_factory=dict)
    methods: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def read(cls, texts: Sequence[str]) -> Demands:
        """Reads `NAME=NUMBER` and `METHOD.NAME=NUMBER`.

        Raises:
            UserError: A text is neither.
        """
        every: dict[str, float] = {}
        methods: dict[str, dict[str, float]] = {}
        for text in texts:
            name, _, number = text.partition("=")
            method, _, resource = name.strip().rpartition(".")
            try:
                amount = float(number)
            except ValueError:
                amount = math.nan
            if not resource or not (math.isfinite(amount) and amount >= 0):
                raise UserError(
                    f"--resources {text}: write NAME=NUMBER or METHOD.NAME=NUMBER, e.g. "
                    "memory=16e9 or user_llm.GPU=1"
                )
            target = methods.setdefault(method, {}) if method else every
            target[resource] = amount
        return cls(every, methods)

    def of(
        self, method: str, threads: int, accelerator: str, named: Iterable[str]
    ) -> dict[str, float]:
        """What a cell asks.

        Threads and a GPU it asks by itself, where the workers say how many they have: those of a
        plain `dask worker` name no resources, and hold any cell. 0 asks for nothing.

        Args:
            method: Of the cell.
            threads: Of the cell.
            accelerator: `cpu` or `gpu`.
            named: The resources that some worker names.
        """
        own = {THREADS: float(threads), **({GPU: 1.0} if accelerator == "gpu" else {})}
        known = set(named)
        asked = {name: amount for name, amount in own.items() if name in known}
        asked |= {**self.every, **self.methods.get(method, {})}
        return {name: amount for name, amount in asked.items() if amount}


def holds(resources: Mapping[str, float], demand: Mapping[str, float]) -> bool:
    """Whether a worker with these resources can ever hold a cell that asks for so much."""
    return all(resources.get(name, 0.0) >= amount for name, amount in demand.items())


def described(demand: Mapping[str, float]) -> str:
    """Resources in words, e.g. `threads=4, GPU=1`."""
    return ", ".join(f"{name}={amount:g}" for name, amount in demand.items()) or "none"
