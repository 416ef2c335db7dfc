"""Which cell goes to a worker next: one that need not wait for a stage that another is making."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmark.records.identity import stable_hash
from benchmark.runs.plan import Cell


def stages_of(cell: Cell) -> frozenset[str]:
    """Names of what a cell may have to make first and others may need too.

    A guess: a method knows its stages only while it fits. Where it is wrong, a cell waits at a
    stage's lock for a while, and nothing is made twice.
    """
    models = [(cell.method_name, cell.method_settings)]
    if cell.encoder is not None:
        models.append((cell.encoder.name, cell.encoder.settings))
    names = {
        f"{name} {stable_hash(settings.model_dump(mode='json'))} {cell.seed}"
        for name, settings in models
    }
    return frozenset(names | ({f"language model {cell.seed}"} if cell.uses_llm else set()))


def next_of(
    waiting: Sequence[frozenset[str]], running: Iterable[frozenset[str]], made: Iterable[str]
) -> int:
    """Position of the cell to begin: the first whose stages nobody is making, else the first.

    Args:
        waiting: Stages of the cells that wait, in order.
        running: Those of the cells that run.
        made: Those of cells that have ended.
    """
    making = set().union(*running) - set(made)
    return next((n for n, stages in enumerate(waiting) if not stages & making), 0)
