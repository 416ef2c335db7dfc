"""Runs the cells of a command, here or on workers, alone or as one of several processes."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmark.config import RunConfig
from benchmark.scaleout.scale import Scale
from benchmark.system.launching import launch
from benchmark.tables import Tables

if TYPE_CHECKING:
    from benchmark.records.results import Row
    from benchmark.variants import Variant


def run_cells(
    config: RunConfig,
    tables: Tables,
    arguments: Sequence[str],
    scale: Scale,
    variants: Sequence[Variant] | None = None,
) -> list[Row]:
    """One row a cell; see `benchmark.runs.runner.run`, which says what it raises.

    Args:
        config: What to run.
        tables: What can be named.
        arguments: The command line, for the records.
        scale: Who runs the cells.
        variants: The rows of a task and seed; the chosen methods as they are where None.
    """
    launch(config, arguments)  # before the imports below, which take seconds
    from benchmark.runs.runner import run
    from benchmark.scaleout.hands import at_work

    command = shlex.join(["userllm-bench", *arguments])
    with at_work(scale, tables) as hands:
        return run(config, tables, hands.progress, command, variants, hands.settling)


def print_json(rows: Sequence[dict[str, Any]], warning: str) -> None:
    """Rows as JSON on stdout, and what a preset warns of on stderr."""
    print(json.dumps({"rows": rows}, indent=2))
    if warning:
        print(warning, file=sys.stderr)
