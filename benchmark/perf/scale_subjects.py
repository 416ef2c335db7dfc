"""What `benchmark.perf.scale` measures, each in a process of its own so that memory can be told.

`python -m benchmark.perf.scale_subjects SUBJECT FOLDER NUMBER...` prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmark.perf.scale_events import write_events
from benchmark.registry import load
from benchmark.system.host import peak_memory_bytes

NAME = "ml-32m"
"""The layout of the files; how large they are is another matter."""
SOURCE = "files"
_LOOK_SECONDS = 0.02
_IMPORTED = (
    "benchmark.data.readers.movielens_files",
    "benchmark.data.splits",
    "benchmark.data.store.prepare",
    "benchmark.tables",
    "userllm.config",
    "userllm.encoder.windows",
)
"""Imported before the clock runs."""


def write(folder: Path, events: int) -> Mapping[str, Any]:
    """Writes the files that are prepared."""
    write_events(folder / SOURCE / NAME, events)
    return {"source_bytes": (folder / SOURCE / NAME / "ratings.csv").stat().st_size}


def prepare(folder: Path) -> Mapping[str, Any]:
    """`userllm-bench data prepare`, everything that it does."""
    from benchmark.data.raw import PrepareSettings
    from benchmark.data.store import prepare as preparing
    from benchmark.tables import default_tables

    entry = default_tables().dataset(NAME)
    done = preparing.prepare(NAME, entry, folder / SOURCE, PrepareSettings())
    assert not done.skipped
    facts = done.manifest.facts
    return {
        **{key: facts[key] for key in ("users", "items", "events")},
        "bytes_written": sum(done.manifest.files.values()),
    }


def sample(folder: Path, rank: int, world: int, most: int) -> Mapping[str, Any]:
    """Batches of encoder pretraining from the training events of one rank's users.

    Args:
        folder: Has the home in which the data set is prepared.
        rank: Whose batches.
        world: Of how many ranks.
        most: Batches that are drawn at most.
    """
    from benchmark.data.opening import load_dataset
    from benchmark.data.splits import split_last
    from benchmark.tables import default_tables

    windows_of: Any = load("userllm.encoder.windows:endless_windows")
    fit = load("userllm.config:UserEncoderSettings")().fit  # type: ignore[operator]
    begun = time.perf_counter()
    dataset = load_dataset(NAME, default_tables().dataset(NAME))
    opened = time.perf_counter()
    log = split_last(dataset).train.events.shard(rank, world)
    split = time.perf_counter()
    batches, windows = windows_of(log, fit.history + 1, fit.batch_size, 0)
    touched = int(next(batches).features["item"].sum())  # the histories are cut and shuffled
    ready = time.perf_counter()
    in_epoch = -(-windows // fit.batch_size)
    drawn = min(most, in_epoch) - 1
    for batch in itertools.islice(batches, drawn):
        touched += sum(int(values.sum()) for values in batch.features.values())
    drawing = time.perf_counter() - ready
    return {
        "opening_seconds": opened - begun,
        "split_seconds": split - opened,
        "cutting_seconds": ready - split,
        "batch_size": fit.batch_size,
        "history": fit.history,
        "windows": windows,
        "batches_of_an_epoch": in_epoch,
        "batches_timed": drawn,
        "drawing_seconds": drawing,
        "epoch_seconds": ready - split + drawing / max(drawn, 1) * (in_epoch - 1),
        "epoch_is_extrapolated": drawn < in_epoch - 1,
        "training_events": log.num_events,
    }


SUBJECTS: Mapping[str, Callable[..., Mapping[str, Any]]] = {
    "write": write,
    "prepare": prepare,
    "sample": sample,
}


def measure(subject: str, folder: Path, *numbers: int) -> dict[str, Any]:
    """Costs and facts of one subject, in this process; `folder/home` is its home."""
    os.environ["USERLLM_BENCH_HOME"] = str(folder / "home")
    for module in _IMPORTED:
        importlib.import_module(module)
    processor, begin = time.process_time(), time.perf_counter()
    with _private_memory() as most:
        facts = SUBJECTS[subject](folder, *numbers)
    return {
        "seconds": time.perf_counter() - begin,
        "processor_seconds": time.process_time() - processor,
        "peak_resident_bytes": peak_memory_bytes(),
        "peak_private_bytes": most[0],
        **facts,
    }


@contextlib.contextmanager
def _private_memory() -> Iterator[list[int]]:
    """The most memory that is no file's, looked up again and again (Linux; else 0)."""
    most, over = [_anonymous_bytes()], threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            most[0] = max(most[0], _anonymous_bytes())

    beside = threading.Thread(target=look, daemon=True)
    beside.start()
    try:
        yield most
    finally:
        over.set()
        beside.join()


def _anonymous_bytes() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))))
