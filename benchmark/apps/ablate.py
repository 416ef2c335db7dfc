"""`userllm-bench ablate` as typer reads it. Nothing heavy is imported before it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.apps import options


def ablate(
    context: typer.Context,
    axis: Annotated[
        list[str] | None,
        typer.Option(help="What to vary; see 'userllm-bench list ablations'. Twice: a grid."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            help="Values, comma-separated (default: all); the first --values belongs to the first "
            "--axis. The default value is always run."
        ),
    ] = None,
    task: options.VariedTask = None,
    dataset: options.Dataset = None,
    preset: options.Preset = None,
    seeds: options.Seeds = None,
    assignments: options.Assignments = None,
    split: options.Split = None,
    part: Annotated[
        str | None, typer.Option(help="Targets to score: validation (default) or test.")
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
    """Vary one part of a method, or two, and compare with the default.

    Example: userllm-bench ablate --axis fusion --seeds 0,1
    """
    given = options.of_run(locals())
    from benchmark.commands.ablate import ablate_command
    from benchmark.scaleout.scale import read_scale

    scale = read_scale(workers, scheduler, retries, cell_seconds, resources)
    tables, command = context.obj
    return ablate_command(axis or [], values or [], given, tables, command, scale, dry_run)
