"""Options that several commands share, as typer reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

Names = list[str] | None
"""An option that can be given again, each time with names that commas separate."""
Task = Annotated[Names, typer.Option(metavar="NAMES", help="Tasks, comma-separated.")]
VariedTask = Annotated[
    Names,
    typer.Option("--task", metavar="NAMES", help="Tasks, comma-separated (default next_item)."),
]
Dataset = Annotated[str | None, typer.Option(help="Data set (default ml-100k).")]
Preset = Annotated[str | None, typer.Option(help="Budget: smoke, quick (default) or full.")]
Seeds = Annotated[
    Names, typer.Option(metavar="NUMBERS", help="Seeds, comma-separated (default 0).")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME.FIELD=VALUE",
        help="A setting of a method or task; see 'userllm-bench list settings'.",
    ),
]
Split = Annotated[str | None, typer.Option(help="Split (default last).")]
Seen = Annotated[
    str | None,
    typer.Option(
        help="Items a user has met: exclude or include them; auto (default) excludes them "
        "where the data set has no repeats."
    ),
]
LanguageModel = Annotated[
    str | None,
    typer.Option(
        "--llm",
        metavar="NAME_OR_PATH",
        help="Hugging Face causal language model; a small embedded one if absent.",
    ),
]
Out = Annotated[Path | None, typer.Option(help="Folder for the results (default results/runs).")]
Threads = Annotated[
    str | None,
    typer.Option(help="Threads (default: OMP_NUM_THREADS, or the physical cores where unset)."),
]
Accelerator = Annotated[
    str | None,
    typer.Option(
        help="What trains and ranks: cpu (default), gpu (CUDA), or auto, a GPU where there is one. "
        "Numbers of the two differ a little, so each has cells of its own."
    ),
]
Devices = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes that train a cell together, one a GPU, or on a processor's cores "
        "(default 1). Batches are divided among them, so settings keep their meaning.",
    ),
]
NumNodes = Annotated[
    int | None, typer.Option(min=1, help="Machines that train a cell together (default 1).")
]
Distributed = Annotated[
    str | None,
    typer.Option(
        help="How several devices train: ddp (default), or fsdp, which divides the weights of a "
        "language model among them."
    ),
]
MicroBatches = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Parts in which each device works through its share of a batch, where it does not "
        "fit at once (default 1); the gradient is that of the whole batch.",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(help="Of activations in every method of the run: auto, fp32 or bf16."),
]
MultiTask = Annotated[
    bool | None,
    typer.Option("--multi-task", help="One fit of USER-LLM serves all tasks of the run."),
]
Force = Annotated[bool | None, typer.Option("--force", help="Run finished cells again.")]
KeepModels = Annotated[
    bool | None,
    typer.Option(
        "--keep-models/--no-keep-models",
        help="Keep fitted models beside their records, for 'probe' (default: keep).",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Run cells on this many processes of this machine, each with --threads threads "
        "(default: OMP_NUM_THREADS, or 1 where unset).",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Run cells on the workers of this Dask scheduler, e.g. tcp://10.0.0.5:8786. Whoever "
        "reaches a scheduler can run code as you: see docs/scaling.md, and tls://.",
    ),
]
Retries = Annotated[
    int | None,
    typer.Option(min=0, help="How often a cell is run again whose worker died (default 2)."),
]
CellSeconds = Annotated[
    float | None,
    typer.Option(
        help="Seconds after which a cell is given up (default: never). Without --workers it then "
        "runs in a process of its own, which can be ended."
    ),
]
Resources = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[METHOD.]NAME=NUMBER",
        help="What a cell needs of a worker's resources (default: threads, and GPU=1 on a GPU, "
        "where workers name them).",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="List the cells with estimated FLOPs and time, and what is done; train and write "
        "nothing.",
    ),
]
Json = Annotated[bool | None, typer.Option("--json", help="Print the rows as JSON on stdout.")]

_OF_RUN = (
    "task", "dataset", "methods", "preset", "seeds", "assignments", "split", "part", "seen", "llm",
    "out", "threads", "accelerator", "devices", "num_nodes", "distributed", "micro_batches",
    "precision", "multi_task", "force", "keep_models", "as_json",
)  # fmt: skip
_KEYS = {"assignments": "set", "as_json": "json"}
"""What a configuration file calls an option, where that is not the parameter's name."""


def of_run(typed: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is told by its options, by their keys in a configuration file; None = nothing.

    Args:
        typed: The parameters of a command by name; of those that a run has, it has all or some.
    """
    return {
        _KEYS.get(name, name): None if typed[name] == [] else typed[name]
        for name in _OF_RUN
        if name in typed
    }
