"""What `benchmark.perf.prepare` measures, each in a process of its own so that memory can be told.

`python -m benchmark.perf.prepare_subjects SUBJECT SOURCE OUT` prints one line of JSON: seconds of
the work itself, of the processor and of the whole process, the most resident memory of the
process, and facts of the subject. The folder OUT is where the subject may write.
"""

from __future__ import annotations

import json
import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.registry import load
from benchmark.system.host import peak_memory_bytes

LARGE, SMALL = "ml-20m", "ml-1m"
HISTORY = 50
"""Events of a history, in batches and for RecBole."""
BATCH_SIZE = 64


def ours(name: str, source: Path, out: Path) -> Callable[[], Mapping[str, Any]]:
    """`userllm-bench data prepare`, everything that it does."""
    os.environ["USERLLM_BENCH_HOME"] = str(out)
    from benchmark.data.raw import PrepareSettings
    from benchmark.data.store.prepare import prepare
    from benchmark.tables import default_tables

    entry = default_tables().dataset(name)

    def work() -> Mapping[str, Any]:
        done = prepare(name, entry, source, PrepareSettings())
        assert not done.skipped
        facts = done.manifest.facts
        return {
            **{key: facts[key] for key in ("users", "items", "events")},
            "fingerprint": done.manifest.fingerprint,
            "bytes_written": sum(done.manifest.files.values()),
        }

    return work


def with_pandas(engine: str, source: Path, out: Path) -> Callable[[], Mapping[str, Any]]:
    """The same steps in pandas: read, number, sort by user and time, write.

    Of what we do, hashes, the time gaps, the items' features and the tables are left out.
    """
    import pandas as pd

    def work() -> Mapping[str, Any]:
        ratings = pd.read_csv(source / "ratings.csv", engine=engine)  # type: ignore[call-overload]
        movies = pd.read_csv(source / "movies.csv")
        places = pd.Series(np.arange(1, len(movies) + 1, dtype=np.int32), index=movies["movieId"])
        codes, users = pd.factorize(ratings["userId"])
        ratings["user"] = codes
        ratings["item"] = ratings["movieId"].map(places)
        stars = sorted(ratings["rating"].unique())
        ratings["rating"] = ratings["rating"].map({value: n + 1 for n, value in enumerate(stars)})
        ratings = ratings.sort_values(["user", "timestamp"], kind="stable")
        counts = np.bincount(ratings["user"], minlength=len(users))
        np.save(out / "indptr.npy", np.concatenate([[0], np.cumsum(counts)]))
        np.save(out / "item.npy", ratings["item"].to_numpy(np.int32))
        np.save(out / "rating.npy", ratings["rating"].to_numpy(np.int32))
        np.save(out / "timestamps.npy", ratings["timestamp"].to_numpy(np.int64))
        np.save(out / "users.npy", users.to_numpy().astype(np.str_))
        movies["title"].to_csv(out / "titles.csv")
        return {"users": len(users), "items": len(movies), "events": len(ratings)}

    return work


def with_recbole(_: str, source: Path, out: Path) -> Callable[[], Mapping[str, Any]]:
    """RecBole's own data set of one `.inter` file."""
    own_dataset: Any = load("baselines.recbole_own:own_dataset")
    return lambda: own_dataset(source, HISTORY)


def written(name: str, source: Path, out: Path) -> Callable[[], Mapping[str, Any]]:
    """The files that the others read: a made-up world in a publisher's layout."""
    users, items, events = (int(count) for count in os.environ["PREPARE_WORLD"].split())
    from benchmark.data.made_up.layouts import write_layout
    from benchmark.data.made_up.synthetic import SyntheticSettings

    settings = SyntheticSettings(users, items, (20, 2 * events // users - 20), bulk=True)

    def work() -> Mapping[str, Any]:
        folder = write_layout(name, source, settings)
        if name == SMALL:
            _write_inter(folder, source / "events")
        return {"source": str(folder)}

    return work


def _write_inter(folder: Path, out: Path) -> None:
    """The ratings of ML-1M's layout in RecBole's."""
    import polars as pl

    fields = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
    lines = (folder / "ratings.dat").read_bytes().replace(b"::", b"\t")
    frame = pl.read_csv(lines, has_header=False, separator="\t", new_columns=fields)
    out.mkdir()
    frame.write_csv(out / "events.inter", separator="\t")


def opened(name: str, source: Path, out: Path) -> Callable[[], Mapping[str, Any]]:
    """Opening what was prepared in `source`; then a batch, and what it allocates."""
    os.environ["USERLLM_BENCH_HOME"] = str(source)
    from benchmark.data.opening import load_dataset
    from benchmark.events import cut_windows
    from benchmark.tables import default_tables

    entry = default_tables().dataset(name)

    def work() -> Mapping[str, Any]:
        begin = time.perf_counter()
        log = load_dataset(name, entry).events
        seconds = time.perf_counter() - begin
        columns = {**log.columns, "timestamps": log.timestamps, "indptr": log.indptr}
        windows = cut_windows(log, HISTORY)
        order = np.random.default_rng(0).permutation(len(windows))[: 2 * BATCH_SIZE]
        first, second = np.array_split(order, 2)
        next(windows.batches(first, BATCH_SIZE))  # whatever is loaded once
        tracemalloc.start()
        next(windows.batches(second, BATCH_SIZE))
        allocated = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return {
            "opening_seconds": seconds,
            "events": log.num_events,
            "data_set_bytes": sum(column.nbytes for column in columns.values()),
            "batch_size": BATCH_SIZE,
            "history": HISTORY,
            "bytes_allocated_for_a_batch": allocated,
        }

    return work


SUBJECTS: Mapping[str, tuple[Callable[..., Callable[[], Mapping[str, Any]]], str]] = {
    "write": (written, LARGE),
    "write_small": (written, SMALL),
    "ours": (ours, LARGE),
    "ours_small": (ours, SMALL),
    "open": (opened, LARGE),
    "open_small": (opened, SMALL),
    "pandas": (with_pandas, "c"),
    "pandas_pyarrow": (with_pandas, "pyarrow"),
    "recbole": (with_recbole, ""),
}


def measure(subject: str, source: Path, out: Path) -> dict[str, Any]:
    """Costs and facts of one subject, in this process; imports are not counted in `seconds`."""
    function, first = SUBJECTS[subject]
    work = function(first, source, out)
    processor, begin = time.process_time(), time.perf_counter()
    facts = work()
    return {
        "seconds": time.perf_counter() - begin,
        "processor_seconds": time.process_time() - processor,
        "peak_memory_bytes": peak_memory_bytes(),
        **facts,
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
