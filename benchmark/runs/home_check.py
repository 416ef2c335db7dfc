"""A look at the home before the first cell of a run: it may be one that can only be read."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Sequence

from benchmark.config import RunConfig
from benchmark.display.progress import PlainProgress
from benchmark.errors import unkept
from benchmark.forecast.rehearsing import begun_folder, open_stage, too_large
from benchmark.runs.plan import Cell, World
from benchmark.runs.runner import to_run
from benchmark.system import ranks
from benchmark.system.durable import why_unwritable

_LOOKING = threading.Lock()
"""Searches side by side look one after the other: what is rehearsed draws random numbers."""


def check_home(cells: Sequence[Cell], world: World, config: RunConfig) -> None:
    """Refuses cells that have to train a stage for a cache that can only be read.

    Where all such stages are there they are used. A method knows its stages only while it fits,
    so where the cache can only be read, each cell is rehearsed until one lacks a stage; process
    zero does it for all. A cell with a large language model is not: it tells when it comes to its
    stage.

    Args:
        cells: Finished or not.
        world: What they share.
        config: The run that they are of.

    Raises:
        UserError: A cell lacks a stage.
    """

    def look() -> tuple[str, str] | None:
        staged = [own for own in cells if own.in_stages]
        reason = why_unwritable(world.cache) if staged else ""
        if not reason:
            return None
        silent = PlainProgress(io.StringIO())  # what is wrong with a record is said where it runs
        left = [own for own in staged if to_run(own, silent, config.force)]
        with _LOOKING, ranks.alone():
            cell = _lacking(left, world, config.force)
        return None if cell is None else (world.title_of(cell), reason)

    found = ranks.agreed(ranks.by_first(look))
    if found is not None:
        title, reason = found
        raise unkept(f"a stage of {title}", world.cache, reason)


def _lacking(cells: Sequence[Cell], world: World, force: bool) -> Cell | None:
    """The first cell that has to train a stage for the cache."""
    with open_stage() as stage:
        for cell in cells:
            if too_large(cell, world):
                continue
            with contextlib.suppress(Exception):  # what fails here is told where it runs
                stage.stages(cell, world, begun_folder(cell, force))
            if stage.lacking:
                return cell
    return None
