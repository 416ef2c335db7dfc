"""`userllm-bench data export`: what a model that is run elsewhere needs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.config import read_config, read_layers
from benchmark.errors import UserError
from benchmark.tables import Tables, default_tables


def export_command(
    folder: Path, options: Mapping[str, Any], tables: Tables | None, arguments: Sequence[str]
) -> None:
    """Writes training events, items, validation and questions, and says what to do with them.

    Raises:
        UserError: The task cannot be asked on the data set, or the folder cannot be written.
    """
    tables = tables or default_tables()
    config = read_config(None, options, tables).model_copy(update={"methods": ()})
    if len(config.task) != 1:
        raise UserError("--task: questions are of one task")
    layers = read_layers(config, tables)
    from benchmark.records.exporting import export
    from benchmark.runs.planning import open_world

    command = shlex.join(["userllm-bench", *arguments])
    world = open_world(config, tables, layers, None, command)
    task = config.task[0]
    if task not in world.tasks:
        raise UserError(f"{task} cannot be asked on {config.dataset}: {world.unfit[task]}")
    for path, rows in export(world, task, tables, folder).items():
        print(f"{path}: {rows:,} rows")
    print(f"targets: {world.splits[task].target_hash}")
    if world.dataset.licence:
        print(f"licence of {world.dataset.name}: {world.dataset.licence}")
