"""What tells two searches apart, and what is kept of one beside the settings it found."""

from __future__ import annotations

from typing import Any

import benchmark
from benchmark.config import read_layers
from benchmark.runs.plan import Cell, World
from benchmark.settings import flatten
from benchmark.system import host
from benchmark.system.wall_clock import CLOCK
from benchmark.tuning.search import Outcome, Search
from benchmark.tuning.space import Space
from benchmark.tuning.study import Study
from benchmark.tuning.tuned import Below


def facts_of(cell: Cell, space: Space, search: Search, world: World) -> dict[str, Any]:
    """What makes two searches the same, JSON-ready."""
    encoder = cell.encoder
    return {
        "version": benchmark.__version__,
        "search space": space.to_json(),
        "data": world.dataset.fingerprint,
        "targets": cell.split.target_hash,
        "split": [world.split_name, dict(world.split_settings)],
        "seen": world.seen,
        "preset": world.preset,
        "metric": search.metric,
        "seed": cell.seed,
        "task": [cell.task_name, cell.task_settings.model_dump(mode="json")],
        "settings": cell.method_settings.model_dump(mode="json"),
        "encoder": encoder and [encoder.name, encoder.settings.model_dump(mode="json")],
        "language model": world.llm_facts if cell.uses_llm else None,
        "accelerator": world.accelerator,
    }


def make_entry(
    study: Study, search: Search, world: World, cell: Cell, below: Below
) -> dict[str, Any]:
    """What a file says of a method: what was found, how, and what it took.

    Args:
        study: Its search, with a trial that has a value.
        search: What was asked.
        world: Of the search's run.
        cell: The method as it is.
        below: What the file says of the encoder in its slot.
    """
    method, attempts, best = cell.method_name, study.attempts(), study.best()
    assert best is not None
    config, tables = search.config, search.tables
    fixed = flatten(tables.methods[method].overrides)
    given = read_layers(config, tables).changes(tables, method)
    changes = study.space.changes(best.settings) if best.number else {}
    own = {name: value for name, value in {**given, **changes}.items() if name not in fixed}
    trials, failed, seconds = Outcome(method, attempts=tuple(attempts)).totals
    return {
        "metric": search.metric,
        "best": best.value,
        "trial": best.number,
        "as_is": attempts[0].value,
        "settings": own,
        "trials": trials,
        "failed": failed,
        "limit_seconds": search.seconds,
        "limit_trials": search.trials,
        "seconds": seconds,
        "encoder_seconds": below.seconds,
        "space": study.space.to_json(),
        "sampler": study.sampler,
        "dataset": config.dataset,
        "task": cell.task_name,
        "part": world.part,
        "preset": world.preset,
        "split": world.split_name,
        "split_settings": dict(world.split_settings),
        "seen": world.seen,
        "seed": cell.seed,
        "set": list(config.assignments),
        "encoder": dict(below.settings),
        "llm": world.llm_facts if cell.uses_llm else None,
        "dataset_hash": world.dataset.fingerprint,
        "target_hash": cell.split.target_hash,
        "version": benchmark.__version__,
        "git": host.source_state(),
        "host": host.describe_host(world.threads, world.accelerator),
        "updated": CLOCK.now(),
        "command": search.command,
        "history": [own.to_json() for own in attempts],
    }
