"""`userllm-bench tune`."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config import Layers, RunConfig, read_config, read_layers, read_preset
from benchmark.cost.config import SECTION
from benchmark.errors import UserError, unknown
from benchmark.scaleout.scale import Scale
from benchmark.tables import Tables, default_tables
from benchmark.tuning.space import Space, read_space, tunable

if TYPE_CHECKING:
    from rich.table import Table

    from benchmark.tuning.search import Outcome, Search


@dataclass(frozen=True)
class Limits:
    """What is asked of a search beside what is asked of a run.

    Attributes:
        trials: Most trials of a method.
        seconds: After which no further trial of a method begins.
        metric: What to optimise; what the task watches where None.
        space: File of a search space, in place of the shipped one.
        out: Folder of the settings that are found.
        anew: Whether earlier trials are forgotten.
    """

    trials: int
    seconds: float
    metric: str | None
    space: Path | None
    out: Path
    anew: bool


def tune_command(
    options: Mapping[str, Any],
    limits: Limits,
    tables: Tables | None,
    arguments: Sequence[str],
    scale: Scale,
) -> int:
    """Tunes every method, and prints a table.

    Args:
        options: Options of `run`, by their keys in `RunConfig`; None = not given.
        limits: How long to search, and for what.
        tables: What can be named; the project's own where None.
        arguments: The command line, for the records.
        scale: Who runs the trials.

    Returns:
        1 where a method has no trial with a value, else 0.
    """
    tables = tables or default_tables()
    config = scale.over(_config(options, limits, tables))
    layers = read_layers(config, tables)
    (task,) = config.task
    metrics = tables.tasks[task].metrics
    if not math.isfinite(limits.seconds):
        raise UserError(f"--seconds {limits.seconds}: a number of seconds, e.g. 3600")
    if limits.metric is not None and limits.metric not in metrics:
        raise unknown(f"metric of {task}", limits.metric, metrics)
    spaces = {
        name: read_space(name, task, layers, tables, limits.space)
        for name in _in_order(config.methods or (), tables)
    }
    warning = read_preset(config.preset, tables).warning
    search, outcomes, errors = _tune(config, limits, layers, spaces, tables, arguments, scale)
    if outcomes:
        _print(search, outcomes, warning)
    if errors:
        raise UserError("; ".join(errors))
    return 1 if any(not own.na and own.entry is None for own in outcomes) else 0


def _config(options: Mapping[str, Any], limits: Limits, tables: Tables) -> RunConfig:
    """The run that trials are cells of: validation targets, whatever else was asked."""
    given = {key: value for key, value in options.items() if value is not None}
    if "methods" not in given:
        raise UserError(f"which methods? Add --method: {', '.join(tunable(tables))}")
    fixed = {"part": "validation", "out": limits.out / "trials", "keep_models": False}
    config = read_config(None, {"task": "next_item", **given, **fixed}, tables)
    if len(config.task) > 1:
        raise UserError(f"--task: tune takes one task, got {', '.join(config.task)}")
    if limits.space is not None and len(config.methods or ()) > 1:
        raise UserError(f"--space {limits.space} is of one method: tune the others by themselves")
    # What an answer costs says nothing about how good it is; a --set still wins.
    return config.model_copy(update={"sections": {SECTION: {"users": 0}}})


def _in_order(methods: Sequence[str], tables: Tables) -> list[str]:
    """What stands in an encoder slot comes before what has such a slot."""
    return sorted(methods, key=lambda name: tables.methods[name].uses_encoder)


def _tune(
    config: RunConfig,
    limits: Limits,
    layers: Layers,
    spaces: Mapping[str, Space],
    tables: Tables,
    arguments: Sequence[str],
    scale: Scale,
) -> tuple[Search, list[Outcome], list[str]]:
    """What came of each method, and what kept one from being searched at all."""
    from benchmark.records.identity import llm_identity
    from benchmark.runs.planning import build_task, open_world
    from benchmark.runs.runner import check_writable
    from benchmark.scaleout.hands import at_work
    from benchmark.tuning.search import Search
    from benchmark.tuning.several import tune_methods

    (task,) = config.task
    command = shlex.join(["userllm-bench", *arguments])
    check_writable(config.out)
    with at_work(scale, tables) as hands:
        world = open_world(config, tables, layers, llm_identity(config.llm), command)
        metric = limits.metric or build_task(task, tables, layers).watch
        search = Search(
            config, tables, limits.trials, limits.seconds, metric, limits.out, limits.anew, command
        )
        return search, *tune_methods(spaces, search, world, hands)


def _print(search: Search, outcomes: Sequence[Outcome], warning: str) -> None:
    notes = list(dict.fromkeys(note for own in outcomes for note in own.notes))
    if search.config.as_json:
        rows = [_row(own, search) for own in outcomes]
        print(json.dumps({"rows": rows, "file": str(search.file), "notes": notes}, indent=2))
        for line in [*notes, *([warning] if warning else [])]:
            print(line, file=sys.stderr)
        return
    from benchmark.commands.table import open_console, print_end

    config, console = search.config, open_console()
    print(
        f"{config.task[0]} on {config.dataset}: {search.metric} on validation targets, preset "
        f"{config.preset}, seed {config.seeds[0]}, at most {search.trials} trials and "
        f"{search.seconds:g} s of training and evaluation a method"
    )
    console.print(_table(outcomes))
    for own in outcomes:
        if own.na:
            print(f"{own.method}: n/a: {own.na}")
        if own.encoder_seconds:
            print(
                f"{own.method}: {own.encoder_seconds:.1f} s of its {search.seconds:g} were the "
                "search of its encoder"
            )
        for attempt in own.attempts:
            if attempt.reason:
                print(f"{own.method} trial {attempt.number}: failed: {attempt.reason}")
    for note in notes:
        print(note)
    if any(own.entry for own in outcomes):
        print(f"settings:\n  {search.file}")
    print_end(console, [], [], warning)


def _table(outcomes: Sequence[Outcome]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column("method", overflow="fold")
    for name in ("trials", "failed", "seconds", "as is", "best"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("settings changed", overflow="fold")
    for own in outcomes:
        tried, failed, seconds = own.totals
        settings = own.entry["settings"] if own.entry else {}
        told = ", ".join(f"{name}={value}" for name, value in settings.items())
        table.add_row(
            own.method,
            *(["n/a"] + [""] * 4 if own.na else [str(tried), str(failed), f"{seconds:.1f}"]),
            *([] if own.na else [_number(own, "as_is"), _number(own, "best")]),
            told,
        )
    return table


def _number(outcome: Outcome, name: str) -> str:
    value = outcome.entry and outcome.entry[name]
    return "failed" if value is None else f"{value:.4f}"


def _row(outcome: Outcome, search: Search) -> dict[str, Any]:
    tried, failed, seconds = outcome.totals
    row: dict[str, Any] = {"method": outcome.method, "metric": search.metric}
    if outcome.na:
        return row | {"na": outcome.na}
    entry = outcome.entry or {}
    return row | {
        "trials": tried,
        "failed": failed,
        "seconds": seconds,
        "encoder_seconds": outcome.encoder_seconds,
        "limit_seconds": search.seconds,
        "as_is": entry.get("as_is"),
        "best": entry.get("best"),
        "trial": entry.get("trial"),
        "settings": entry.get("settings", {}),
        "history": [own.to_json() for own in outcome.attempts],
    }
