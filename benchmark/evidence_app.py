"""`verify` and `publish` as typer reads them. Nothing heavy is imported before they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
) -> int:
    """Copy finished runs to where they can be committed: records, and examples without texts.

    Example: userllm-bench publish results/runs
    """
    from benchmark.commands.publish import publish_command

    return publish_command(runs, out, context.obj[0])
