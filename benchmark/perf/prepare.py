"""What it takes to prepare 20 million ratings, against pandas, and one million, against RecBole.

Both sides read the same made-up files in the layouts of ML-20M and ML-1M, which were written just
before and so are in the system's file cache, and each runs in a process of its own with the same
number of threads. Seconds are those of the work, without the start of the process and imports;
memory is the most that was resident in the whole process, imports included. Ours is everything
that `data prepare` does. pandas reads, numbers users and items, sorts by user and time (stable)
and writes the same four arrays, with its default reader and with that of pyarrow, whose threads
stay pyarrow's; what comes out is compared with ours. RecBole creates its data set from an atomic
file of the ratings alone and builds it for a sequential model. Of several runs the median counts.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.errors import RunError
from benchmark.perf.comparison import Comparison
from benchmark.perf.prepare_subjects import LARGE, SMALL

AIMS = {
    "prepare_seconds": 15.0,
    "prepare_memory_bytes": 2 * 2**30,
    "times_as_fast_as_pandas": 2.5,
    "times_as_fast_as_recbole": 20.0,
    "opening_seconds": 1.0,
}
"""Seconds and bytes at most, ratios at least."""


@dataclass(frozen=True)
class Size:
    """How large a made-up world is: users, items, and events about."""

    users: int
    items: int
    events: int


SIZES = {LARGE: Size(138_493, 27_278, 20_020_000), SMALL: Size(6_040, 3_883, 1_000_209)}
RUNS = 3


def prepare_speed(threads: int) -> Comparison:
    """The comparison in the sizes of ML-20M and ML-1M."""
    return compare(threads, SIZES[LARGE], SIZES[SMALL], runs=RUNS)


def compare(threads: int, large: Size, small: Size, *, runs: int) -> Comparison:
    """All subjects, side by side on the same files.

    Args:
        threads: Of every subject.
        large: In place of ML-20M.
        small: In place of ML-1M.
        runs: How often ours, pandas and RecBole run.
    """
    load_before = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="userllm-bench-perf-") as scratch:
        bench = _Bench(Path(scratch), threads)
        source = bench.write("write", large)
        bench.write("write_small", small)
        names = ("ours", "pandas", "pandas_pyarrow", "ours_small", "recbole")
        costs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for _ in range(runs):  # in turns, so that a busy minute of the machine meets all
            for name in names:
                costs[name].append(bench.run(name, bench.source(name)))
        opening = {name: bench.run(name, bench.out(of)) for name, of in _OPENED.items()}
        same = {name: bench.agrees(name) for name in ("pandas", "pandas_pyarrow")}
        source_bytes = sum(path.stat().st_size for path in source.iterdir())
    middle = {name: _median(rows, "seconds") for name, rows in costs.items()}
    measured = {
        "prepare_seconds": middle["ours"],
        "prepare_memory_bytes": max(row["peak_memory_bytes"] for row in costs["ours"]),
        "times_as_fast_as_pandas": middle["pandas"] / middle["ours"],
        "times_as_fast_as_recbole": middle["recbole"] / middle["ours_small"],
        "opening_seconds": max(row["opening_seconds"] for row in opening.values()),
    }
    return Comparison(
        ours=middle["ours"],
        theirs=middle["pandas"],
        unit="seconds",
        details={
            "question": "seconds to prepare 20 million ratings in the layout of ML-20M",
            "counted": " ".join((__doc__ or "").split("\n\n")[1].split()),
            "threads": threads,
            "source_bytes": source_bytes,
            "aims": {
                name: {"aim": aim, "measured": measured[name], "met": _met(name, measured[name])}
                for name, aim in AIMS.items()
            },
            "times_as_fast_as_pandas_with_pyarrow": middle["pandas_pyarrow"] / middle["ours"],
            "times_as_fast_as_recbole_creating_alone": _median(costs["recbole"], "create_seconds")
            / middle["ours_small"],
            "pandas_arrays_are_ours": same,
            "runs": costs,
            "opening": opening,
            "load_average_before": load_before,
            "load_average_after": os.getloadavg(),
        },
    )


_OPENED = {"open": "ours", "open_small": "ours_small"}
"""What is opened, and which subject prepared it."""


class _Bench:
    """A scratch folder, and subjects that are run in processes of their own.

    Args:
        scratch: The folder.
        threads: Of every subject.
    """

    def __init__(self, scratch: Path, threads: int) -> None:
        self.scratch = scratch
        self.threads = threads

    def source(self, name: str) -> Path:
        """What a subject reads."""
        folder = self.scratch / "files"
        return folder if name == "recbole" else folder / (SMALL if "small" in name else LARGE)

    def out(self, name: str) -> Path:
        """Where a subject writes."""
        return self.scratch / name

    def write(self, name: str, size: Size) -> Path:
        """Writes the files that the others read."""
        world = f"{size.users} {size.items} {size.events}"
        return Path(self.run(name, self.scratch / "files", PREPARE_WORLD=world)["source"])

    def run(self, name: str, source: Path, **environment: str) -> dict[str, Any]:
        """Costs and facts of one subject."""
        _say(name)
        out = self.out(name)
        shutil.rmtree(out, ignore_errors=True)  # so that nothing is ready before
        out.mkdir()
        command = [sys.executable, "-m", "benchmark.perf.prepare_subjects"]
        done = subprocess.run(
            [*command, name, str(source), str(out)],
            env={**os.environ, **thread_limits(self.threads), **environment},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
            raise RunError(f"{name} failed: {last}")
        costs: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        _say(f"  {costs['seconds']:.2f} s, {costs['peak_memory_bytes'] / 2**30:.2f} GiB")
        return costs

    def agrees(self, name: str) -> bool:
        """Whether a subject wrote the arrays that we did."""
        mine = self.out("ours") / "datasets" / LARGE / "arrays"
        pairs = {
            "indptr": "indptr",
            "timestamps": "timestamps",
            "item": "feature-00-item",
            "rating": "feature-01-rating",
        }
        return all(
            np.array_equal(
                np.load(self.out(name) / f"{theirs}.npy", mmap_mode="r", allow_pickle=False),
                np.load(mine / f"{array}.npy", mmap_mode="r", allow_pickle=False),
            )
            for theirs, array in pairs.items()
        )


def thread_limits(threads: int) -> dict[str, str]:
    """The environment that holds a process and its libraries to a number of threads."""
    names = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {name: str(threads) for name in names}


def _met(name: str, value: float) -> bool:
    return value >= AIMS[name] if name.startswith("times") else value <= AIMS[name]


def _median(rows: list[dict[str, Any]], key: str) -> float:
    return statistics.median(row[key] for row in rows)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
