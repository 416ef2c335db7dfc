"""`userllm-bench sweep`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.axes.sweep_axes import SEQ_LEN, NumberAxis, expand, read_axes
from benchmark.commands.cells import print_json, run_cells
from benchmark.config import (
    Layers,
    RunConfig,
    chosen_methods,
    read_config,
    read_layers,
    read_preset,
)
from benchmark.errors import UserError
from benchmark.scaleout.scale import Scale
from benchmark.settings import flatten, parse_assignment
from benchmark.tables import Tables, default_tables
from benchmark.variants import Variant

DEFAULTS = {
    "task": "next_item",
    "part": "validation",
    "methods": "user_llm,text_prompt,text_prompt_titles",
}
"""As an ablation, a sweep does not look at test unless told to."""
_OF_RUNS = (
    "preset", "seeds", "split", "part", "seen", "llm", "threads", "accelerator", "devices",
    "num_nodes", "distributed", "micro_batches", "precision", "force", "keep_models",
)  # fmt: skip
"""Options that say nothing of a count by shapes."""


@dataclass(frozen=True)
class Shapes:
    """What is asked of a sweep by shapes alone.

    Attributes:
        only: Whether it is.
        llm_config: A shipped shape, or the path of a `config.json`.
        tokenizer: A tokenizer's file or folder; None = the embedded one.
    """

    only: bool = False
    llm_config: str | None = None
    tokenizer: Path | None = None

    def check(self) -> None:
        """Refuses options that do not belong together.

        Raises:
            UserError: They do not.
        """
        if self.only and self.llm_config is None:
            raise UserError("--cost-only needs --llm-config, e.g. --llm-config llama-3.2-1b")
        for flag, value in (("--llm-config", self.llm_config), ("--tokenizer", self.tokenizer)):
            if value is not None and not self.only:
                raise UserError(f"{flag} {value} belongs to --cost-only: a run takes --llm")


def sweep_command(
    axes: Sequence[str],
    values: Sequence[str],
    options: Mapping[str, Any],
    shapes: Shapes,
    tables: Tables | None,
    arguments: Sequence[str],
    scale: Scale,
    dry_run: bool = False,
) -> int:
    """Runs what is missing of a sweep, prints a table and draws its figures.

    Args:
        axes: Names of one or two axes.
        values: Comma-separated numbers, the first for the first axis.
        options: Options of `run`, by their keys in `RunConfig`; None = not given.
        shapes: Whether and how to count by shapes alone, and train nothing.
        tables: What can be named; the project's own where None.
        arguments: The command line, for the record.
        scale: Who runs the cells.
        dry_run: Whether to say what that would take, and run nothing.

    Returns:
        1 where a cell failed, else 0.
    """
    shapes.check()
    if shapes.only and dry_run:
        raise UserError("--dry-run says what runs take, and --cost-only runs nothing: give one")
    tables = tables or default_tables()
    given = {key: value for key, value in options.items() if value is not None}
    config = read_config(None, {**DEFAULTS, **given}, tables)
    methods = chosen_methods(config, tables)
    layers = read_layers(config, tables)
    read = read_axes(axes, values, methods, tables, layers)
    variants = expand(read, methods, tables, layers)
    _check_assignments(config, read, variants)
    if shapes.only:
        unused = [f"--{name}" for name in _OF_RUNS if name in given]
        if scale.asked:
            unused.append("--workers and what belongs to it")
        if unused:
            print(f"note: {', '.join(unused)} play no part with --cost-only", file=sys.stderr)
        from benchmark.commands.sweep_by_shape import count_by_shape

        return count_by_shape(config, shapes, read, variants, layers, tables)
    _check_windows(config, read, layers, tables)
    config = scale.over(config)
    if dry_run:
        from benchmark.commands.dry_run import dry_run_command

        return dry_run_command(config, tables, scale, variants)
    return _run(config, read, variants, tables, arguments, scale)


def _run(
    config: RunConfig,
    axes: Sequence[NumberAxis],
    variants: Sequence[Variant],
    tables: Tables,
    arguments: Sequence[str],
    scale: Scale,
) -> int:
    warning = read_preset(config.preset, tables).warning
    rows = run_cells(config, tables, arguments, scale, variants)
    from benchmark.axes.sweep_points import points_of
    from benchmark.axes.sweep_steps import cautions
    from benchmark.commands.sweep_table import about, print_sweep
    from benchmark.plotting.sweep import draw_sweep

    for task in config.task:
        own = [row for row in rows if row.task == task]
        points = points_of(own)
        told = cautions(points)
        metrics = shown_metrics(tables.tasks[task].metrics)
        figures: list[Path] = []
        try:
            described = about(own, metrics, [axis.name for axis in axes], told)
            figures = draw_sweep(points, axes[0].name, config.out / "plots", described)
        except UserError as error:
            print(f"no figures: {error}", file=sys.stderr)
        if not config.as_json:
            names = [axis.name for axis in axes]
            print_sweep(points, own, names, metrics, figures, warning, told)
    if config.as_json:
        print_json([row.to_json() for row in rows], warning)
    return 1 if any(row.error for row in rows) else 0


def shown_metrics(metrics: Sequence[str]) -> tuple[str, ...]:
    """The first metric of a task, and its last recall or, without any, its last metric."""
    recalls = [metric for metric in metrics if metric.startswith("recall@")]
    return tuple(dict.fromkeys([metrics[0], (recalls or list(metrics))[-1]]))


def _check_assignments(
    config: RunConfig, axes: Sequence[NumberAxis], variants: Sequence[Variant]
) -> None:
    """Refuses a `--set` of what an axis varies; of a batch that follows from it, it is the base."""
    varied = {name for variant in variants for name in flatten(variant.settings)}
    named = {axis.name for axis in axes}
    for text in config.assignments:
        section, nested = parse_assignment(text)
        for name in flatten({section: nested}):
            if name in varied and (name in named or not name.endswith(".batch_size")):
                raise UserError(f"--set {text}: the axis varies {name}")


def _check_windows(
    config: RunConfig, axes: Sequence[NumberAxis], layers: Layers, tables: Tables
) -> None:
    """Refuses lengths that a task's own window would cut, so that they would say nothing."""
    longest = max((max(axis.values) for axis in axes if axis.name == SEQ_LEN), default=0)
    for task in config.task:
        window = getattr(layers.resolve(tables, task), "window", None)
        if window is not None and longest > window:
            raise UserError(
                f"--values: {task} reads at most {window} events: add --set "
                f"{task}.window={int(longest)} to sweep longer histories"
            )
