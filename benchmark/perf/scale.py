"""What more events cost: seconds and memory of preparing them, and of sampling an epoch from them.

Made-up ratings in the order of time, a user's scattered over the whole file, are written, prepared
and opened at each size, each step in a process of its own. Resident memory is the most that was in
the process's memory, pages of files counted, which the system takes back when it needs them;
private memory is what is no file's. Seconds are those of the work without the start of the process
and of processor time, the latter over all threads. An epoch is every batch of the encoder's
pretraining over the training events of a leave-one-out split; where it has more than some thousand,
so many are drawn and the rest is reckoned from them, and that is said. The first process that
splits writes the training events to files, which the two ranks that sample side by side map.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmark.errors import RunError
from benchmark.perf.comparison import Comparison
from benchmark.perf.prepare import thread_limits
from benchmark.system.home import home
from benchmark.system.host import source_state

SIZES = (100_000, 1_000_000, 10_000_000, 100_000_000)
MOST_BATCHES = 2_000
RANKS = 2
AIM_BYTES = 4 * 2**30
"""Resident at most while the largest is prepared."""
_DISK_BYTES_AN_EVENT = 130
"""Of files, prepared arrays, those in between, and what the split writes; with some to spare."""


def scale(threads: int) -> Comparison:
    """All sizes; those that were measured before by the same code and threads are not again."""
    return compare(threads, SIZES, MOST_BATCHES)


def compare(threads: int, sizes: Sequence[int], most_batches: int) -> Comparison:
    """Costs of each size.

    Args:
        threads: Of every process.
        sizes: Events, ascending.
        most_batches: Batches that are drawn at most.
    """
    rows = [_measured(events, threads, most_batches) for events in sizes]
    a_million = [row["prepare"]["seconds"] / row["events"] * 1e6 for row in rows]
    compared = min(len(rows) - 1, 1)  # of the smallest, most is what every size costs
    peak = rows[-1]["prepare"]["peak_resident_bytes"]
    return Comparison(
        ours=a_million[-1],
        theirs=a_million[compared],
        unit="seconds a million events",
        details={
            "question": f"preparing {sizes[-1]:,} events (ours) and {sizes[compared]:,} (theirs)",
            "counted": " ".join((__doc__ or "").split("\n\n")[1].split()),
            "threads": threads,
            "aim": {"peak_resident_bytes": AIM_BYTES, "measured": peak, "met": peak <= AIM_BYTES},
            "sizes": rows,
        },
    )


def _measured(events: int, threads: int, most_batches: int) -> dict[str, Any]:
    """The costs of one size, from the journal where they are known."""
    key = json.dumps([source_state(), threads, most_batches, events], sort_keys=True)
    journal = home() / "perf" / f"scale-{events}-{sha256(key.encode()).hexdigest()[:12]}.json"
    if journal.is_file():
        row: dict[str, Any] = json.loads(journal.read_text())
        _say(f"{events:,} events were measured before")
        return row
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < events * _DISK_BYTES_AN_EVENT:
        raise RunError(
            f"{events:,} events take {events * _DISK_BYTES_AN_EVENT / 2**30:.0f} GiB in"
            f" {tempfile.gettempdir()}: make room, or set TMPDIR to a folder on another disk"
        )
    _say(f"{events:,} events")
    with tempfile.TemporaryDirectory(prefix="userllm-bench-scale-") as scratch:
        row = _costs(Path(scratch), events, threads, most_batches)
    journal.parent.mkdir(parents=True, exist_ok=True)
    partial = journal.with_suffix(".partial")
    partial.write_text(json.dumps(row))
    partial.replace(journal)
    return row


def _costs(folder: Path, events: int, threads: int, most_batches: int) -> dict[str, Any]:
    load_before = list(os.getloadavg())
    written = _run(threads, "write", folder, events)
    prepared = _run(threads, "prepare", folder)
    shutil.rmtree(folder / "files")  # nobody reads them again
    alone = _run(threads, "sample", folder, 0, 1, most_batches)
    processes = [
        _begin(threads, "sample", folder, rank, RANKS, most_batches // RANKS)
        for rank in range(RANKS)
    ]
    ranks = [_end("sample", process) for process in processes]
    return {
        "events": events,
        "write": written,
        "prepare": prepared,
        "sample": alone,
        "ranks": ranks,
        "load_average_before": load_before,
        "load_average_after": list(os.getloadavg()),
    }


def _run(threads: int, subject: str, folder: Path, *numbers: int) -> dict[str, Any]:
    return _end(subject, _begin(threads, subject, folder, *numbers))


def _begin(threads: int, subject: str, folder: Path, *numbers: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmark.perf.scale_subjects", subject, str(folder)]
    return subprocess.Popen(
        [*command, *map(str, numbers)],
        env={**os.environ, **thread_limits(threads)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _end(subject: str, process: subprocess.Popen[str]) -> dict[str, Any]:
    said, errors = process.communicate()
    if process.returncode:
        last = (errors.strip().splitlines() or ["it was killed"])[-1]
        raise RunError(f"{subject} failed: {last}")
    costs: dict[str, Any] = json.loads(said.splitlines()[-1])
    gib = costs["peak_resident_bytes"] / 2**30, costs["peak_private_bytes"] / 2**30
    _say(f"  {subject}: {costs['seconds']:.1f} s, {gib[0]:.2f} GiB, {gib[1]:.2f} GiB private")
    return costs


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
