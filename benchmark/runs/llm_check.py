"""A look at the language model of a run before its first cell: it may be out of reach."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import cast

from benchmark.config import RunConfig
from benchmark.display.progress import PlainProgress
from benchmark.registry import load
from benchmark.runs.plan import Cell, World
from benchmark.runs.runner import to_run


def check_llm(cells: Sequence[Cell], world: World, config: RunConfig) -> None:
    """Refuses cells whose language model cannot be had.

    Where all that read it are finished it is not looked for, so that a run can be shown again
    where its model is no longer at hand.

    Args:
        cells: Finished or not.
        world: What they share.
        config: The run that they are of.

    Raises:
        UserError: It is to be read and cannot be.
    """
    if world.llm is not None and any(_is_to_read(cell, config) for cell in cells):
        cast("Callable[[str], None]", load("userllm.llm.loading:check_language_model"))(world.llm)


def _is_to_read(cell: Cell, config: RunConfig) -> bool:
    silent = PlainProgress(io.StringIO())  # what is wrong with a record is said where it runs
    return cell.uses_llm and to_run(cell, silent, config.force)
