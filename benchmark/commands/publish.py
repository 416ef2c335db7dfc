"""`userllm-bench publish`: finished runs as they are committed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.records.publishing import publish
from benchmark.tables import Tables, default_tables


def publish_command(
    runs: Sequence[Path], out: Path, tables: Tables | None, allow_own: bool = False
) -> int:
    """Publishes records and prints one line each.

    Returns:
        1 where a record was refused, else 0.
    """
    refused = older = count = 0
    for outcome in publish(runs, out, tables or default_tables(), allow_own=allow_own):
        count += 1
        refused += bool(outcome.refused)
        older += outcome.older
        if outcome.refused:
            print(f"refused: {outcome.path}: {outcome.refused}", flush=True)
        elif outcome.older:
            why = f"an older record of the cell that {outcome.folder} is for"
            print(f"left out: {outcome.path}: {why}", flush=True)
        else:
            print(f"published: {outcome.folder}", flush=True)
    left_out = f"{older} left out, " if older else ""
    print(f"{count - refused - older} published, {left_out}{refused} refused")
    return 1 if refused else 0
