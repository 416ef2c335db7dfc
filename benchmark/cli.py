"""The command line. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark import __version__
from benchmark.apps.ablate import ablate
from benchmark.apps.compare import compare
from benchmark.apps.data import data
from benchmark.apps.records import import_, publish, verify
from benchmark.apps.report import report
from benchmark.apps.run import run
from benchmark.apps.sweep import sweep
from benchmark.apps.tune import tune
from benchmark.display.terminal import harmless_output
from benchmark.display.visible import NAME, bounded
from benchmark.errors import RunError, UserError
from benchmark.system.stopping import say_stopped, stoppable, was_stopped

if TYPE_CHECKING:
    from benchmark.tables import Tables

INTERRUPTED = 130
_NO_PATH = (errno.ENAMETOOLONG, errno.ELOOP)
"""What the system says of a path that no file can have, wherever it was typed."""

app = typer.Typer(
    name="userllm-bench",
    help="Compares USER-LLM with its baselines.\n\nExample: userllm-bench run --task next_item",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data)


def _version(asked: bool) -> None:
    if asked:
        print(f"userllm-bench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    pass


app.command()(run)
app.command()(ablate)
app.command()(sweep)
app.command()(compare)
app.command("import")(import_)
app.command()(verify)
app.command()(tune)
app.command()(publish)
app.command()(report)


@app.command("list")
def list_(
    context: typer.Context,
    table: Annotated[
        str | None,
        typer.Argument(
            metavar="TABLE",
            help="datasets, tasks, methods, encoders, metrics, settings, presets, ablations or "
            "splits.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="With settings: one method or task.")
    ] = None,
) -> None:
    """List what can be named, and whether it works here.

    Example: userllm-bench list methods
    """
    from benchmark.commands.listing import list_command

    list_command(table, name, context.obj[0])


@app.command()
def plot(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUNS]...", help="Folders with records (default results/runs)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figures (default: RUNS/plots).")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the rows as JSON on stdout.")
    ] = False,
) -> None:
    """Draw the figures of finished runs.

    Example: userllm-bench plot results/runs --out figures
    """
    from benchmark.commands.plot import plot_command

    plot_command(runs or [], out, as_json)


@app.command()
def probe(
    context: typer.Context,
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a finished cell, or its record.json.")
    ],
    only: Annotated[
        str | None,
        typer.Option(help="Probes, comma-separated; the beginning of a name takes all with it."),
    ] = None,
    part: Annotated[
        str | None, typer.Option(help="Targets to score: test or validation (default: as RUN).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of what the probes draw.")] = 0,
    training: Annotated[
        bool, typer.Option("--training/--no-training", help="Run the probes that train a model.")
    ] = True,
    llm: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_PATH", help="The language model of RUN, where it was a local folder."
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="Folder of the models that probes train."),
    ] = Path("results/probes"),
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads (default: those of RUN).")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON on stdout.")
    ] = False,
) -> int:
    """Ask whether a finished run's language model listens to the user, and what it lost.

    Example: userllm-bench probe results/runs/ml-100k-next_item-user_llm-s0-0123abcd
    """
    from benchmark.commands.probe import Options, probe_command

    asked = Options(run, only, part, seed, training, llm, out, threads, as_json)
    tables, command = context.obj
    return probe_command(asked, tables, command)


@app.command()
def show(
    context: typer.Context,
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Folder of a finished cell, or of several that were asked the same."
        ),
    ],
    examples: Annotated[int, typer.Option(min=1, help="How many examples.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of which examples.")] = 0,
    only: Annotated[
        str | None,
        typer.Option(help="A group: new (not word for word in training), verbatim, tied, ..."),
    ] = None,
) -> None:
    """Print some examples of a finished run, what was asked beside what was answered.

    Example: userllm-bench show results/runs/world-review_generation-user_llm-s0-0123abcd --only new
    """
    from benchmark.commands.show import Options, show_command

    show_command(Options(run, examples, seed, only), context.obj[0])


def main(arguments: Sequence[str] | None = None, tables: Tables | None = None) -> int:
    """Runs one command; see `benchmark.display.terminal` for what it prints.

    Args:
        arguments: What follows the program's name; `sys.argv` where None.
        tables: What can be named; the project's own where None.

    Returns:
        Exit code: 0 well, 1 something failed, 2 wrong input, 130 interrupted, 143 terminated.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with harmless_output(), stoppable():
        try:
            return _run(given, tables)
        except (KeyboardInterrupt, typer.Abort):
            return say_stopped()
        except Exception:
            if not was_stopped():
                raise
            return say_stopped()


def _run(given: list[str], tables: Tables | None) -> int:
    # typer's and click's own errors share this base, whichever of the two is installed.
    usage = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
    try:
        code = app(
            args=given, prog_name="userllm-bench", standalone_mode=False, obj=(tables, given)
        )
        if code == INTERRUPTED:  # typer's answer to an interrupt; other versions raise
            raise KeyboardInterrupt
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except UserError as error:
        return _fail(str(error), 2)
    except RunError as error:
        return _fail(str(error), 1)
    except typer.Exit as leave:
        return leave.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not try to flush it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return _fail(f"cannot write: {error.strerror}", 1)
        if isinstance(error, OSError) and error.errno in _NO_PATH:
            return _fail(f"{bounded(str(error.filename), NAME)}: {error.strerror}", 2)
        if not isinstance(error, usage):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)  # type: ignore[attr-defined]
            return 2
        return _fail(error.format_message(), 2)  # type: ignore[attr-defined]


def _fail(text: str, code: int) -> int:
    print(f"error: {bounded(text)}", file=sys.stderr, flush=True)
    return code
