"""What a command line asks of workers, checked. Imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.config import RunConfig
from benchmark.errors import UserError
from benchmark.scaleout.demands import Demands
from benchmark.system.cores import threads_set
from benchmark.whole_numbers import LARGEST_PORT, whole_number

_PROTOCOLS = ("tcp", "tls", "ws", "wss")
RETRIES = 2


@dataclass(frozen=True)
class Scale:
    """Who runs the cells of a command; this process where nothing is asked.

    Attributes:
        workers: Processes of a cluster on this machine; None = no such cluster.
        scheduler: Address of a cluster that is there already, `tcp://HOST:PORT`.
        retries: How often a cell is run again whose worker died.
        cell_seconds: After which a cell that still runs is given up; None = never.
        demands: What cells ask of a worker beside what they ask by themselves.
    """

    workers: int | None = None
    scheduler: str | None = None
    retries: int = RETRIES
    cell_seconds: float | None = None
    demands: Demands = field(default_factory=Demands)

    @property
    def asked(self) -> bool:
        """Whether other processes run the cells; a time limit needs one that can be ended."""
        return (self.workers, self.scheduler, self.cell_seconds) != (None, None, None)

    @property
    def local_workers(self) -> int:
        """Processes of a cluster on this machine; 0 where the cluster is there already."""
        return 0 if self.scheduler is not None else self.workers or 1

    def over(self, config: RunConfig) -> RunConfig:
        """A run with the threads of its cells: as given, else one, however many workers there are.

        Numbers depend on threads in their last digits, so they must not depend on workers.

        Raises:
            UserError: The run is to train a cell on several devices, which workers cannot.
        """
        if self.asked and config.devices * config.num_nodes > 1:
            raise UserError(
                "--devices and --num-nodes train one cell after the other on several devices, "
                "while workers (--workers, --scheduler, --cell-seconds) have one each: choose"
            )
        if config.threads is not None or not self.asked or self.scheduler is not None:
            return config
        return config.model_copy(update={"threads": threads_set() or 1})


def read_scale(
    workers: int | None,
    scheduler: str | None,
    retries: int | None,
    cell_seconds: float | None,
    resources: Sequence[str] | None,
) -> Scale:
    """Reads the options, see `Scale`.

    Args:
        workers: `--workers`.
        scheduler: `--scheduler`.
        retries: `--retries`.
        cell_seconds: `--cell-seconds`.
        resources: `--resources`, each `NAME=NUMBER` or `METHOD.NAME=NUMBER`.

    Raises:
        UserError: They do not go together, or one is none.
    """
    if workers is not None and scheduler is not None:
        raise UserError(
            f"--workers {workers} starts processes here and --scheduler {scheduler} names some "
            "that are there: give one of the two"
        )
    if scheduler is not None:
        _check_address(scheduler)
    if cell_seconds is not None and not (math.isfinite(cell_seconds) and cell_seconds > 0):
        raise UserError(f"--cell-seconds {cell_seconds:g}: a number of seconds, e.g. 3600")
    if workers is None and scheduler is None:
        unused: dict[str, Any] = {"--retries": retries, "--resources": resources or None}
        for flag, value in unused.items():
            if value is not None and cell_seconds is None:
                raise UserError(f"{flag} is about workers: add --workers N or --scheduler ADDRESS")
    demands = Demands.read(resources or ())
    return Scale(workers, scheduler, RETRIES if retries is None else retries, cell_seconds, demands)


def _check_address(scheduler: str) -> None:
    protocol, separator, rest = scheduler.partition("://")
    host, _, port = rest.rpartition(":")
    reachable = bool(host) and 0 < (whole_number(port) or 0) <= LARGEST_PORT
    if not separator or protocol not in _PROTOCOLS or not reachable:
        raise UserError(
            f"--scheduler {scheduler} is no address: write it as dask scheduler prints it, "
            "e.g. tcp://10.0.0.5:8786"
        )
