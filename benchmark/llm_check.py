"""A look at the language model of a run before its first cell: it may be out of reach."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from benchmark.config import RunConfig
from benchmark.plan import Cell, World
from benchmark.progress import PlainProgress, RunProgress
from benchmark.registry import load
from benchmark.results import Row
from benchmark.runner import Settling, to_run


def with_llm_checked(settling: Settling) -> Settling:
    """Settles cells as told, once the language model that one of them is to read was found.

    Where all that read it are finished it is not looked for, so that a run can be shown again
    where its model is no longer at hand.
    """

    def settle(
        cells: Sequence[tuple[Row, Cell]],
        world: World,
        config: RunConfig,
        progress: RunProgress,
    ) -> Mapping[str, Row]:
        if world.llm is not None and any(_is_to_read(cell, config) for _, cell in cells):
            cast("Callable[[str], None]", load("userllm.llm:check_language_model"))(world.llm)
        return settling(cells, world, config, progress)

    return settle


def _is_to_read(cell: Cell, config: RunConfig) -> bool:
    silent = PlainProgress(io.StringIO())  # what is wrong with a record is said where it runs
    return cell.uses_llm and to_run(cell, silent, config.force)
