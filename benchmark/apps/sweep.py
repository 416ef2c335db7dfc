"""`userllm-bench sweep` as typer reads it. Nothing heavy is imported before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.apps import options


def sweep(
    context: typer.Context,
    axis: Annotated[
        list[str] | None,
        typer.Option(
            help="seq_len (events of a history that are read), or a setting that is a number. "
            "Twice: a grid."
        ),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            help="Numbers, comma-separated; the first --values belongs to the first --axis."
        ),
    ] = None,
    cost_only: Annotated[
        bool,
        typer.Option("--cost-only", help="Count by shapes alone: nothing is trained or loaded."),
    ] = False,
    llm_config: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_PATH",
            help="With --cost-only: the shape of a language model (llama-3.2-1b, gemma-3-1b, "
            "gemma-2-2b, qwen3-0.6b, gpt2, pythia-160m), or a config.json.",
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="With --cost-only: what counts tokens; the embedded one if absent."),
    ] = None,
    task: options.VariedTask = None,
    dataset: options.Dataset = None,
    methods: Annotated[
        options.Names,
        typer.Option(
            metavar="NAMES",
            help="Methods, comma-separated (default user_llm,text_prompt,text_prompt_titles).",
        ),
    ] = None,
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
    """Vary the length of histories, or any number, and see what it does to quality and cost.

    Example: userllm-bench sweep --axis seq_len --values 10,25,50,100,200 --task next_item
    """
    given = options.of_run(locals())
    from benchmark.commands.sweep import Shapes, sweep_command
    from benchmark.scaleout.scale import read_scale

    asked = Shapes(cost_only, llm_config, tokenizer)
    scale = read_scale(workers, scheduler, retries, cell_seconds, resources)
    tables, command = context.obj
    return sweep_command(axis or [], values or [], given, asked, tables, command, scale, dry_run)
