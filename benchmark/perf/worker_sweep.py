"""How much sooner a sweep of equal cells is done on two workers than on one.

Both sides run the same cells, the same method on the same data with one seed each, on workers of
one thread: ours on two, the other's on one. Each side begins with no record and no stage, and what
is counted is the whole call, from the start of the workers to the last row and their end. That both
sides found the same numbers is checked. On a machine with less than two idle cores the two workers
share what there is, and the ratio says nothing.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.config import read_config
from benchmark.errors import RunError
from benchmark.perf.comparison import Comparison
from benchmark.runs.runner import run
from benchmark.scaleout.crew import crew_of
from benchmark.scaleout.scale import Scale
from benchmark.system.cores import physical_cores
from benchmark.tables import Tables, default_tables

CELLS = 12
WORKERS = 2
OPTIONS: Mapping[str, Any] = {
    "task": "next_item",
    "methods": "sasrec",
    "part": "validation",
    "keep_models": False,
    "set": ["sasrec.fit.epochs=6", "cost.users=0"],
}
"""A cell takes a good while longer than a worker's start, and always as many steps."""


def worker_sweep(threads: int) -> Comparison:
    """The comparison on MovieLens-100K; the number of threads is that of the machine, not used."""
    return compare(default_tables(), OPTIONS, CELLS)


def compare(tables: Tables, options: Mapping[str, Any], cells: int) -> Comparison:
    """Seconds of the same sweep on `WORKERS` workers and on one.

    Args:
        tables: What can be named.
        options: Of the run, without its seeds.
        cells: How many, each with a seed of its own.

    Raises:
        RunError: A cell failed, or the two sides' numbers differ.
    """
    found = {}
    for workers in (1, WORKERS):
        print(f"{cells} cells on {workers} worker(s)", file=sys.stderr, flush=True)
        found[workers] = _sweep(tables, options, cells, workers)
    (one, numbers), (several, others) = found[1], found[WORKERS]
    if numbers != others:
        raise RunError(f"{WORKERS} workers gave other numbers than one")
    return Comparison(
        ours=several,
        theirs=one,
        unit="seconds",
        details={
            "question": f"seconds of a sweep of equal cells on {WORKERS} workers and on one",
            "counted": " ".join((__doc__ or "").split("\n\n")[1].split()),
            "cells": cells,
            "workers": WORKERS,
            "threads_of_a_worker": 1,
            "physical_cores": physical_cores(),
            "options": dict(options),
            "mean_recall_at_10": sum(numbers) / len(numbers),
        },
    )


def _sweep(
    tables: Tables, options: Mapping[str, Any], cells: int, workers: int
) -> tuple[float, list[float]]:
    """Seconds of a whole call, and recall@10 of its cells in order."""
    seeds = ",".join(str(seed) for seed in range(cells))
    home = os.environ.get("USERLLM_BENCH_HOME")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        os.environ["USERLLM_BENCH_HOME"] = str(out / "home")  # workers read it when they start
        try:
            asked = {**options, "seeds": seeds, "threads": 1, "out": out / "runs"}
            config = read_config(None, asked, tables)
            begin = time.perf_counter()
            with crew_of(Scale(workers=workers), tables, sys.stderr) as crew:
                rows = run(config, tables, crew.progress(""), settling=crew.settle)
            seconds = time.perf_counter() - begin
        finally:
            os.environ.pop("USERLLM_BENCH_HOME")
            if home is not None:
                os.environ["USERLLM_BENCH_HOME"] = home
    values = []
    for row in rows:
        if row.record is None:
            raise RunError(f"seed {row.seed}: {row.error or row.na}")
        values.append(row.record.metrics["recall@10"])
    return seconds, values
