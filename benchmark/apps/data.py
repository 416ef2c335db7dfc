"""The commands of `userllm-bench data`, as typer reads them. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.apps import options

data = typer.Typer(
    name="data",
    help="Make data sets ready, and say what is in them.\n\n"
    "Example: userllm-bench data download ml-latest-small",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Data set, e.g. ml-1m, amazon-2018/Gift_Cards, own/shop; see 'list datasets'.",
    ),
]


@data.command()
def prepare(
    context: typer.Context,
    name: Name,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="The publisher's archive, file, or folder with them (default: what 'data "
            "download' brought).",
        ),
    ] = None,
    minimum_history: Annotated[
        int | None, typer.Option(help="Leave out users with fewer events (default 3).")
    ] = None,
    minimum_rating: Annotated[
        float | None, typer.Option(help="Leave out events with a lower rating (default: none).")
    ] = None,
    k_core: Annotated[
        int | None,
        typer.Option(
            help="Leave out users and items with fewer events, until none has (default 0: off)."
        ),
    ] = None,
    broken: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of a file's lines that may be broken and skipped (default 0.01).",
        ),
    ] = None,
    columns: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With own/NAME: YAML file that says what the columns mean (default: "
            "columns.yaml beside the data).",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Prepare it again where nothing has changed, too.")
    ] = False,
) -> None:
    """Make a data set ready from files.

    The files are those of its publisher, or your own (own/NAME).

    Example: userllm-bench data prepare ml-1m --from ml-1m.zip
    """
    from benchmark.commands.data import PrepareOptions, prepare_command

    given = {
        "minimum_history": minimum_history,
        "minimum_rating": minimum_rating,
        "k_core": k_core,
        "broken": broken,
    }
    prepare_command(name, PrepareOptions(source, given, columns, force), context.obj[0])


@data.command()
def download(
    context: typer.Context,
    name: Name,
    accept_licence: Annotated[
        bool,
        typer.Option(
            "--accept-licence",
            help="Accept the licence that is shown; needed where nobody can be asked.",
        ),
    ] = False,
    prepare: Annotated[
        bool, typer.Option("--prepare/--no-prepare", help="Prepare it, too.")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Download what is there again.")] = False,
) -> None:
    """Fetch a data set and make it ready.

    Example: userllm-bench data download ml-latest-small --accept-licence
    """
    from benchmark.commands.data import download_command

    download_command(name, accept_licence, prepare, force, context.obj[0])


@data.command()
def info(
    context: typer.Context,
    name: Name,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print it as one JSON object on stdout.")
    ] = False,
) -> None:
    """Say what a data set holds.

    Statistics, dates, repeats, coverage of texts, hashes, licence and whom to cite.

    Example: userllm-bench data info ml-100k
    """
    from benchmark.commands.data import info_command

    info_command(name, as_json, context.obj[0])


@data.command()
def export(
    context: typer.Context,
    name: Name,
    task: Annotated[str, typer.Option(help="The task whose questions are asked.")],
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    split: options.Split = None,
    part: Annotated[
        str | None, typer.Option(help="Targets that are asked for: test (default) or validation.")
    ] = None,
    seen: options.Seen = None,
    preset: options.Preset = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME.FIELD=VALUE", help="A setting of the task or the split."
        ),
    ] = None,
) -> None:
    """Write what a model that is run elsewhere needs: no test target is in it.

    Training events, items, validation with its targets, and the questions; 'userllm-bench import'
    takes the answers.

    Example: userllm-bench data export ml-100k --task next_item --out shared
    """
    from benchmark.commands.export import export_command

    given = {
        "dataset": name,
        "task": task,
        "split": split,
        "part": part,
        "seen": seen,
        "preset": preset,
        "set": assignments or None,
    }
    tables, command = context.obj
    export_command(out, given, tables, command)
