"""`userllm-bench plot`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark.records.results import load_records

DEFAULT_RUNS = Path("results/runs")


def plot_command(runs: Sequence[Path], out: Path | None, as_json: bool) -> None:
    """Draws the figures of all records under some folders.

    Args:
        runs: Folders; the default output of `run` where empty.
        out: Where figures go; `plots` in the first folder where None.
        as_json: Print the rows on stdout.
    """
    folders = list(runs) or [DEFAULT_RUNS]
    rows = load_records(folders)
    first = folders[0] if folders[0].is_dir() else folders[0].parent
    from benchmark.plotting.results import draw

    files = draw(rows, out or first / "plots")
    for file in files:
        print(file, file=sys.stderr if as_json else sys.stdout)
    if as_json:
        print(json.dumps({"rows": [row.to_json() for row in rows]}, indent=2))
