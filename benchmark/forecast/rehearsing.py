"""Rehearses cells: everything of a fit is done but training, of which a few steps are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from benchmark.registry import load
from benchmark.runs.cell import fit_cell, unfinished_folder
from benchmark.runs.plan import Cell, World
from benchmark.runs.smaller_batches import Heard, Smaller
from benchmark.types import Progress

LARGEST_LLM_BYTES = 2**30
"""Larger weights of a language model are not loaded to rehearse."""
NEW, CACHED, SHARED = "new", "cached", "shared"


@dataclass(frozen=True)
class StageAhead:
    """A stage of a cell.

    Attributes:
        name: Its name.
        state: `new` = trained by this cell; `cached` = found finished; `shared` = trained by a
            cell before it in the same run.
        steps: Optimizer steps of all of it; 0 = it does not train.
        begun: Steps that a checkpoint has done already.
        flops: Arithmetic of all of it.
        measured_seconds: By the steps that were timed; of a stage found finished, those of its
            making.
        may_stop: Whether it may end before its last step.
    """

    name: str
    state: str
    steps: int
    begun: int
    flops: float
    measured_seconds: float
    may_stop: bool = False

    @property
    def left(self) -> float:
        """Share of it that is left to do."""
        if self.state != NEW:
            return 0.0
        return 1 - self.begun / self.steps if self.steps else 1.0


class Stage:
    """Where cells are rehearsed, one after the other: what one leaves, those after it find."""

    def __init__(self, rehearsal: Any) -> None:
        self._rehearsal = rehearsal
        self._silent = cast("Callable[[], Progress]", load("userllm.progress:Silent"))

    def stages(self, cell: Cell, world: World, begun: Path | None) -> list[StageAhead]:
        """The stages of a cell, in order.

        Args:
            cell: Which.
            world: What it shares with the other cells.
            begun: Folder of what an earlier call left of it; None = it begins anew.

        Raises:
            UserError: The cell cannot work.
        """
        open_ = self._rehearsal
        rehearsed, found = len(open_.stages), len(open_.found)
        if begun is not None:
            cell = Smaller.read(begun, cell).applied(cell)
        _, report = fit_cell(
            cell,
            world,
            cell.task(),
            Heard(self._silent()),
            nullcontext(),
            begun,
        )
        own, in_cache = iter(open_.stages[rehearsed:]), iter(open_.found[found:])
        ahead = []
        for stage in report.stages:
            state, steps_done, may_stop = NEW, 0, False
            if stage.reused:
                state = CACHED if next(in_cache) else SHARED
            elif stage.steps:
                told = next(own)
                steps_done, may_stop = told.begun, told.may_stop
            ahead.append(
                StageAhead(
                    stage.name, state, stage.steps, steps_done, stage.flops, stage.seconds, may_stop
                )
            )
        return ahead

    @property
    def lacking(self) -> bool:
        """Whether what was rehearsed has a stage to train that would be kept in the cache."""
        return any(self._rehearsal.scratch.glob("[!.]*"))


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Opens a place to rehearse at; nothing of it is left when it closes."""
    rehearsing = cast("Callable[[Path], Any]", load("userllm.training.rehearsal:rehearsing"))
    with TemporaryDirectory() as scratch, rehearsing(Path(scratch)) as rehearsal:
        yield Stage(rehearsal)


def begun_folder(cell: Cell, force: bool) -> Path | None:
    """What an earlier call left to go on from; a forced run forgets it first."""
    folder = unfinished_folder(cell)
    return folder if folder.is_dir() and not force else None


def too_large(cell: Cell, world: World) -> str:
    """Why a cell is not rehearsed for its language model, "" where it is."""
    if not cell.uses_llm or world.llm is None:
        return ""
    folder = Path(world.llm).expanduser()
    if not folder.is_dir():
        return f"a dry run downloads nothing, and {world.llm} is no folder"
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    if size <= LARGEST_LLM_BYTES:
        return ""
    return f"a dry run loads no language model above {LARGEST_LLM_BYTES // 2**20} MiB"
