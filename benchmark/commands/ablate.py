"""`userllm-bench ablate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.axes.ablation import Grid, read_grid
from benchmark.commands.cells import print_json, run_cells
from benchmark.config import RunConfig, read_config, read_layers, read_preset
from benchmark.errors import UserError
from benchmark.scaleout.scale import Scale
from benchmark.settings import flatten, merge, parse_assignment
from benchmark.tables import Tables, default_tables

if TYPE_CHECKING:
    from benchmark.records.differences import Estimate, Outcome
    from benchmark.records.results import Row

DEFAULTS = {"task": "next_item", "part": "validation"}
"""An ablation is development: it does not look at test unless told to."""


def ablate_command(
    axes: Sequence[str],
    values: Sequence[str],
    options: Mapping[str, Any],
    tables: Tables | None,
    arguments: Sequence[str],
    scale: Scale,
    dry_run: bool = False,
) -> int:
    """Runs what is missing of a grid, prints a table with differences and draws a figure.

    Args:
        axes: Names of one or two axes.
        values: Comma-separated values, the first for the first axis.
        options: Options of `run`, by their keys in `RunConfig`; None = not given.
        tables: What can be named; the project's own where None.
        arguments: The command line, for the record.
        scale: Who runs the cells.
        dry_run: Whether to say what that would take, and run nothing.

    Returns:
        1 where a cell failed, else 0.
    """
    tables = tables or default_tables()
    grid = read_grid(axes, values, tables)
    given = {key: value for key, value in options.items() if value is not None}
    config = read_config(None, {**DEFAULTS, **given, "methods": grid.methods}, tables)
    grid.check(config.assignments, config.llm)
    read_layers(config, tables, grid.sections)  # before the imports below, which take seconds
    config = scale.over(config)
    if dry_run:
        from benchmark.commands.dry_run import dry_run_command

        return dry_run_command(config, tables, scale, grid.variants)
    warning = read_preset(config.preset, tables).warning
    metrics = {task: grid.metric(tables.tasks[task].metrics) for task in config.task}
    rows = run_cells(config, tables, arguments, scale, grid.variants)
    from benchmark.records.differences import compare
    from benchmark.records.provenance import differences_in_code

    shown = []
    for task, metric in metrics.items():
        outcomes = compare([row for row in rows if row.task == task])
        shown += [outcome.to_json() for outcome in outcomes]
        figures = _draw(outcomes, grid, metric, config)
        code = differences_in_code(row.record for row in rows if row.task == task and row.record)
        if config.as_json:
            if code:
                print(f"note: {task}: {code}", file=sys.stderr)
        else:
            first = tables.tasks[task].metrics[0]
            metrics_shown = list(dict.fromkeys([first, metric]))
            _print(outcomes, grid.names, metrics_shown, figures, code, warning)
    if config.as_json:
        print_json(shown, warning)
    return 1 if any(row.error for row in rows) else 0


def _draw(outcomes: Sequence[Outcome], grid: Grid, metric: str, config: RunConfig) -> list[Path]:
    """The figure of one task; none where nothing has finished."""
    if not any(outcome.finished for outcome in outcomes):
        return []
    from benchmark.plotting.ablation import draw_ablation

    shown = {
        own.name: own.shown(chosen) for own, chosen in zip(grid.axes, grid.chosen, strict=True)
    }
    try:
        folder = config.out / "plots"
        return draw_ablation(outcomes, shown, metric, folder, changed_options(config, grid))
    except UserError as error:
        print(f"no figure: {error}", file=sys.stderr)
        return []


def changed_options(config: RunConfig, grid: Grid) -> dict[str, str]:
    """What was asked for, where it is not the default: axis, option or setting → value."""
    chosen = zip(grid.axes, grid.chosen, strict=True)
    options = {
        axis.name: ",".join(axis.shown(names))
        for axis, names in chosen
        if axis.shown(names) != axis.ordered
    }
    for name in ("seeds", "seen", "split", "llm"):
        value = getattr(config, name)
        if value != RunConfig.model_fields[name].default:
            options[name] = ",".join(map(str, sorted(value))) if name == "seeds" else value
    parsed = (parse_assignment(text) for text in config.assignments)
    settings = merge(*({section: nested} for section, nested in parsed))
    for name, value in sorted(flatten(settings).items()):
        options[name] = value if isinstance(value, str) else json.dumps(value, default=str)
    return options


def _print(
    outcomes: Sequence[Outcome],
    axes: Sequence[str],
    metrics: Sequence[str],
    figures: Sequence[Path],
    code: str,
    warning: str,
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from benchmark.commands.table import open_console, print_end, print_reasons, title
    from benchmark.records.differences import NLL

    rows: list[Row] = [row for outcome in outcomes for row in outcome.rows]
    if any(NLL in outcome.metrics for outcome in outcomes):
        metrics = [*metrics, NLL]
    compared = list(metrics[-2:] if NLL in metrics else metrics[-1:])
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)
    for axis in axes:
        table.add_column(axis, overflow="fold")
    for metric in metrics:
        table.add_column(metric, justify="right", no_wrap=True)
    for metric in compared:
        table.add_column(f"{metric} difference", justify="right")
    table.add_column("train s", justify="right", no_wrap=True)
    table.add_column("trained", justify="right", no_wrap=True)
    for outcome in outcomes:
        table.add_row(*_cells(outcome, metrics, compared))
    console = open_console()
    seeds = dict.fromkeys(str(row.seed) for row in rows)
    print(f"{title(rows)}, seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}")
    console.print(table)
    print_reasons(rows)
    print(
        "difference to the default (*) with its 95% bootstrap interval, paired by user; "
        "trained: parameters"
    )
    if code:
        print(code)
    print_end(console, rows, figures, warning)


def _cells(outcome: Outcome, metrics: Sequence[str], compared: Sequence[str]) -> list[str]:
    names = list(outcome.axes.values())
    if outcome.reference:
        names[-1] += " *"
    if outcome.failure:
        return [*names, *[outcome.failure] * len(metrics), *[""] * len(compared), "", ""]
    means = [outcome.metrics.get(metric) for metric in metrics]
    return [
        *names,
        *("" if mean is None else f"{mean.value:.3f}" for mean in means),
        *(_difference(outcome.differences.get(metric)) for metric in compared),
        f"{outcome.training_seconds:.1f}",
        f"{outcome.trained_parameters:,}",
    ]


def _difference(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"
