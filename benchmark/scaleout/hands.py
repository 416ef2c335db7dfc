"""Who does the work of a command, and where it says how far it is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.config import RunConfig
from benchmark.display.progress import RunProgress, open_progress, quiet_libraries
from benchmark.records.results import Row
from benchmark.runs.home_check import check_home
from benchmark.runs.llm_check import check_llm
from benchmark.runs.plan import Cell, World
from benchmark.runs.runner import Settling, settle_in_turn
from benchmark.scaleout.scale import Scale
from benchmark.system import host
from benchmark.tables import Tables

if TYPE_CHECKING:
    from benchmark.scaleout.crew import Crew

Look = Callable[[Sequence[Cell], World, RunConfig], None]
"""Raises a `UserError` before the first of some cells runs."""


@dataclass(frozen=True)
class Hands:
    """What a command runs its cells with.

    Attributes:
        progress: Is told how far it is.
        crew: The workers; None = this process.
        at_home: Whether the cells run with the home of this process.
    """

    progress: RunProgress
    crew: Crew | None = None
    at_home: bool = True

    @property
    def settling(self) -> Settling:
        """Who settles cells, after a look at their language model and at the home."""
        settling = settle_in_turn if self.crew is None else self.crew.settle
        return _looking_first(settling, [check_llm, *([check_home] if self.at_home else [])])


def _looking_first(settling: Settling, looks: Sequence[Look]) -> Settling:
    """Settles cells as told, once nothing is found that will be in their way."""

    def settle(
        cells: Sequence[tuple[Row, Cell]],
        world: World,
        config: RunConfig,
        progress: RunProgress,
    ) -> Mapping[str, Row]:
        for look in looks:
            look([cell for _, cell in cells], world, config)
        return settling(cells, world, config, progress)

    return settle


@contextlib.contextmanager
def at_work(scale: Scale, tables: Tables) -> Iterator[Hands]:
    """Quiet libraries, progress on stderr, and workers where they are asked for.

    Raises:
        UserError: The scheduler does not answer.
    """
    host.source_state()  # what records say is the source that they began with
    if not scale.asked:
        progress = open_progress()
        try:
            with quiet_libraries():
                yield Hands(progress)
        finally:
            progress.close()
        return
    from benchmark.scaleout.crew import crew_of

    # A live bar shows one cell; lines with titles show several.
    with quiet_libraries(), crew_of(scale, tables, sys.stderr) as crew:
        yield Hands(crew.progress(""), crew, at_home=scale.scheduler is None)
