"""`userllm-bench run` as typer reads it. Nothing heavy is imported before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.apps import options


def run(
    context: typer.Context,
    task: options.Task = None,
    dataset: options.Dataset = None,
    methods: Annotated[
        options.Names, typer.Option(metavar="NAMES", help="Methods, comma-separated.")
    ] = None,
    preset: options.Preset = None,
    seeds: options.Seeds = None,
    assignments: options.Assignments = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file with the same keys, and one section a method or task."),
    ] = None,
    split: options.Split = None,
    part: Annotated[
        str | None, typer.Option(help="Targets to score: test (default) or validation.")
    ] = None,
    seen: options.Seen = None,
    llm: options.LanguageModel = None,
    out: options.Out = None,
    threads: options.Threads = None,
    accelerator: options.Accelerator = None,
    devices: options.Devices = None,
    num_nodes: options.NumNodes = None,
    distributed: options.Distributed = None,
    micro_batches: options.MicroBatches = None,
    precision: options.Precision = None,
    multi_task: options.MultiTask = None,
    force: options.Force = None,
    keep_models: options.KeepModels = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    retries: options.Retries = None,
    cell_seconds: options.CellSeconds = None,
    resources: options.Resources = None,
    dry_run: options.DryRun = False,
    as_json: options.Json = None,
) -> int:
    """Train and evaluate methods on a task.

    Example: userllm-bench run --task next_item --methods sasrec,user_llm --seeds 0,1
    """
    given = options.of_run(locals())
    from benchmark.commands.run import run_command
    from benchmark.scaleout.scale import read_scale

    scale = read_scale(workers, scheduler, retries, cell_seconds, resources)
    tables, command = context.obj
    return run_command(config, given, tables, command, scale, dry_run)
