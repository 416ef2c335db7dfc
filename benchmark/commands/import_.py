"""`userllm-bench import`: any model's answers in the comparison."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.config import read_config, read_layers
from benchmark.errors import UserError
from benchmark.tables import Tables, default_tables


def import_command(
    file: Path,
    name: str,
    target_hash: str | None,
    options: Mapping[str, Any],
    tables: Tables | None,
    arguments: Sequence[str],
) -> int:
    """Judges a file of answers, leaves a record and prints its row.

    Raises:
        UserError: The file does not answer what is asked.
    """
    tables = tables or default_tables()
    config = read_config(None, options, tables).model_copy(update={"methods": ()})
    if len(config.task) != 1:
        raise UserError("--task: a file answers one task")
    layers = read_layers(config, tables)
    for section in (*config.task, config.split):
        layers.resolve(tables, section)
    from benchmark.importing.predictions import read_predictions

    predictions = read_predictions(file)  # before the imports below, which take seconds
    from benchmark.commands.table import open_console, print_end, print_table
    from benchmark.importing.cell import check_name, import_predictions

    check_name(name, tables)
    command = shlex.join(["userllm-bench", *arguments])
    row = import_predictions(predictions, name, target_hash, config, layers, tables, command)
    if config.as_json:
        print(json.dumps({"rows": [row.to_json()]}, indent=2))
    else:
        print_table([row], tables.tasks[row.task].metrics)
        print_end(open_console(), [row], (), "")
    return 0
