"""`userllm-bench compare` as typer reads it. Nothing heavy is imported before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    first: Annotated[
        Path,
        typer.Argument(metavar="RUN_A", help="Folder of a cell, or of one method's seeds."),
    ],
    second: Annotated[
        Path,
        typer.Argument(metavar="RUN_B", help="What it is compared with; may be the same folder."),
    ],
    method_a: Annotated[
        str | None,
        typer.Option("--a", metavar="METHOD", help="Which method, where RUN_A holds several."),
    ] = None,
    method_b: Annotated[
        str | None,
        typer.Option("--b", metavar="METHOD", help="Which method, where RUN_B holds several."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metrics, comma-separated (default: all of the task).")
    ] = None,
    margin: Annotated[
        float,
        typer.Option(help="Differences within it count as none: what 'equivalent' means."),
    ] = 0.01,
    slices: Annotated[
        bool, typer.Option("--slices/--no-slices", help="Also compare slices of the users.")
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the comparison as JSON on stdout.")
    ] = False,
) -> None:
    """Compare two methods on the same users: differences, tests and slices.

    Example: userllm-bench compare results/runs results/runs --a user_llm --b sasrec
    """
    from benchmark.commands.compare import Options, compare_command

    metrics = tuple(name.strip() for name in (metric or "").split(",") if name.strip())
    compare_command(Options(first, second, method_a, method_b, metrics, margin, slices), as_json)
