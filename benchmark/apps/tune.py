"""`userllm-bench tune` as typer reads it. Nothing heavy is imported before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.apps import options


def tune(
    context: typer.Context,
    methods: Annotated[
        options.Names,
        typer.Option(
            "--method", "--methods", metavar="NAMES", help="Methods to tune, comma-separated."
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, help="Most trials of each method, earlier calls counted.")
    ] = 30,
    seconds: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds of training and evaluation after which no further trial of a method "
            "begins, earlier calls counted; the same for every method. A stage from the cache "
            "counts as when it was made, and the search of an encoder also counts as that of "
            "the method which is tuned on top of it.",
        ),
    ] = 3600.0,
    metric: Annotated[
        str | None,
        typer.Option(help="What to optimise (default: what the task watches in training)."),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(help="YAML file with what to search of one method, in place of the shipped."),
    ] = None,
    task: Annotated[str | None, typer.Option(help="One task (default next_item).")] = None,
    dataset: options.Dataset = None,
    preset: options.Preset = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of every trial's training and of what is tried.")
    ] = 0,
    assignments: options.Assignments = None,
    split: options.Split = None,
    seen: options.Seen = None,
    llm: options.LanguageModel = None,
    out: Annotated[Path, typer.Option(help="Folder for the settings that are found.")] = Path(
        "results/tuned"
    ),
    threads: options.Threads = None,
    accelerator: options.Accelerator = None,
    force: Annotated[
        bool, typer.Option("--force", help="Forget earlier trials of these methods.")
    ] = False,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    retries: options.Retries = None,
    cell_seconds: options.CellSeconds = None,
    resources: options.Resources = None,
    as_json: options.Json = None,
) -> int:
    """Search for settings of methods on validation targets, under one clock for all.

    Example: userllm-bench tune --method sasrec,bert4rec --trials 30 --seconds 3600
    """
    from benchmark.commands.tune import Limits, tune_command
    from benchmark.scaleout.scale import read_scale

    given: dict[str, Any] = {
        "task": task,
        "dataset": dataset,
        "methods": methods or None,
        "preset": preset,
        "seeds": seed,
        "set": assignments or None,
        "split": split,
        "seen": seen,
        "llm": llm,
        "threads": threads,
        "accelerator": accelerator,
        "json": as_json,
    }
    limits = Limits(trials, seconds, metric, space, out, force)
    scale = read_scale(workers, scheduler, retries, cell_seconds, resources)
    tables, command = context.obj
    return tune_command(given, limits, tables, command, scale)
