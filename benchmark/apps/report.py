"""`userllm-bench report` as typer reads it. Nothing heavy is imported before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    context: typer.Context,
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUNS]...", help="Folders with records (default results/runs)."),
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option(help="What words the report (default: REPORT_TEMPLATE.md of the project)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report (default: RUNS/report).")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="Differences within it count as none (default .01 of the metric)."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all facts as JSON on stdout.")
    ] = False,
) -> None:
    """Write a report on finished runs, as Markdown and as one page of HTML with its figures.

    Example: userllm-bench report results/runs --out report
    """
    from benchmark.commands.report import Options, report_command

    tables, _ = context.obj
    report_command(Options(tuple(runs or ()), template, out, margin, as_json), tables)
