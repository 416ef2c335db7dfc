"""`import`, `verify` and `publish` as typer reads them. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.apps import options


def import_(
    context: typer.Context,
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTIONS", help="Parquet file of answers, a row a user (docs/evidence.md)."
        ),
    ],
    name: Annotated[str, typer.Option(help="What the model is called in tables and figures.")],
    task: Annotated[str, typer.Option(help="The task that it answers.")],
    dataset: options.Dataset = None,
    split: options.Split = None,
    part: Annotated[
        str | None, typer.Option(help="Targets that it answers: test (default) or validation.")
    ] = None,
    seen: options.Seen = None,
    target_hash: Annotated[
        str | None,
        typer.Option(
            metavar="HASH", help="Which targets it answers, where the file does not say so itself."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the model, where it has one.")] = 0,
    preset: Annotated[
        str | None,
        typer.Option(help="Beside which preset's rows it stands: smoke, quick (default), full."),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME.FIELD=VALUE", help="A setting of the task or the split."
        ),
    ] = None,
    out: options.Out = None,
    force: Annotated[
        bool | None, typer.Option("--force", help="Import it again where it was imported.")
    ] = None,
    as_json: options.Json = None,
) -> int:
    """Judge answers of any model, so that it stands beside the methods of a run.

    Example: userllm-bench import answers.parquet --name gru4rec --task next_item
    """
    from benchmark.commands.import_ import import_command

    given = {
        "task": task,
        "dataset": dataset,
        "split": split,
        "part": part,
        "seen": seen,
        "seeds": [seed],
        "preset": preset,
        "set": assignments or None,
        "out": out,
        "force": force,
        "json": as_json,
    }
    tables, command = context.obj
    return import_command(predictions, name, target_hash, given, tables, command)


def verify(
    context: typer.Context,
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Folders with records, at any depth, or a record."),
    ],
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="A record without examples is no failure."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the verdicts as JSON on stdout.")
    ] = False,
) -> int:
    """Recompute every number of records from the examples beside them.

    Example: userllm-bench verify results/reference
    """
    from benchmark.commands.verify import verify_command

    return verify_command(folders, allow_missing, as_json, context.obj[0])


def publish(
    context: typer.Context,
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUNS...", help="Folders with records, at any depth, or a record."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of what is published.")] = Path(
        "results/reference"
    ),
    allow_own: Annotated[
        bool, typer.Option("--allow-own", help="Also publish rows of your own data (own/...).")
    ] = False,
) -> int:
    """Copy finished runs to where they can be committed: records, and examples without texts.

    Example: userllm-bench publish results/runs
    """
    from benchmark.commands.publish import publish_command

    return publish_command(runs, out, context.obj[0], allow_own)
