"""`userllm-bench run`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.commands.cells import print_json, run_cells
from benchmark.config import RunConfig, read_config, read_layers, read_preset
from benchmark.errors import UserError
from benchmark.scaleout.scale import Scale
from benchmark.tables import Tables, default_tables
from benchmark.tuning.applied import check_tuned

if TYPE_CHECKING:
    from benchmark.records.results import Row


def run_command(
    file: Path | None,
    options: Mapping[str, Any],
    tables: Tables | None,
    arguments: Sequence[str],
    scale: Scale,
    dry_run: bool = False,
) -> int:
    """Runs all cells, prints rows and draws figures; in a dry run it says what that would take.

    Returns:
        1 where a cell failed, else 0.
    """
    tables = tables or default_tables()
    config = read_config(file, options, tables)
    layers = read_layers(config, tables)  # before the imports below, which take seconds
    for note in check_tuned(config, layers, tables):
        print(note, file=sys.stderr)
    config = scale.over(config)
    if dry_run:
        from benchmark.commands.dry_run import dry_run_command

        return dry_run_command(config, tables, scale)
    warning = read_preset(config.preset, tables).warning
    rows = run_cells(config, tables, arguments, scale)
    figures = _draw(config, rows)
    if config.as_json:
        print_json([row.to_json() for row in rows], warning)
    else:
        from benchmark.commands.table import open_console, print_end, print_table

        for task in config.task:
            print_table([row for row in rows if row.task == task], tables.tasks[task].metrics)
        print_end(open_console(), rows, figures, warning)
    return 1 if any(row.error for row in rows) else 0


def _draw(config: RunConfig, rows: Sequence[Row]) -> list[Path]:
    """Figures of what this run can be compared with: its rows and others in the same folder."""
    from benchmark.plotting.results import draw
    from benchmark.records.results import comparison_group, load_records

    own = {comparison_group(row.record) for row in rows if row.record is not None}
    if not own:
        return []
    try:
        every = load_records([config.out])
    except UserError as error:
        print(f"figures show this run alone: {error}", file=sys.stderr)
        every = list(rows)
    comparable = [row for row in every if row.record and comparison_group(row.record) in own]
    try:
        return draw(comparable, config.out / "plots")
    except UserError as error:
        print(f"no figures: {error}", file=sys.stderr)
        return []
