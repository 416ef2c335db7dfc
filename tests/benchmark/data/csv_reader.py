"""A reader of two CSV files, for tests of what happens around a reader. Writes down its calls."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import polars as pl

from benchmark.data.raw import PrepareSettings, Raw
from benchmark.data.store.prepare import Prepared, prepare
from benchmark.data.store.sources import note_read
from benchmark.entries import DatasetEntry
from benchmark.schema import Feature, FeatureKind

STARS = Feature("rating", FeatureKind.CATEGORY, 5, labels=("1", "2", "3", "4", "5"))
TAGS = Feature("tags", FeatureKind.MULTI, 3, of_item=True, width=2, labels=("a", "b", "c"))
ENTRY = DatasetEntry(
    "tests.benchmark.data.csv_reader:read", "made up", licence="ours", citation="us"
)
CALLS = "calls.log"
"""Beside the source, so that it is no part of it."""


def read(name: str, source: Path, settings: PrepareSettings) -> Raw:
    """The reader."""
    with (source.parent / CALLS).open("a") as file:
        file.write(f"{name}\n")
    time.sleep(float(os.environ.get("CSV_READER_SECONDS", "0")))
    for file_name in ("events.csv", "items.csv"):
        note_read(source / file_name)
    events = pl.read_csv(source / "events.csv", schema_overrides={"text": pl.String})
    items = pl.read_csv(source / "items.csv", schema_overrides={"text": pl.String})
    return Raw(
        events,
        items.with_columns(pl.col("tags").fill_null("").str.extract_all("[a-c]")),
        (STARS, TAGS),
        label_feature="tags",
        counts={"broken lines": 2, "nothing": 0},
        notes=("made up",),
    )


def write_source(folder: Path, users: int = 12, items: int = 7, *, seed: int = 0) -> Path:
    """Files that `read` reads; every user has 3 to 9 events."""
    import numpy as np

    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    user = np.repeat(rng.permutation(users) + 100, rng.integers(3, 10, users))
    rng.shuffle(user)
    rows = len(user)
    pl.DataFrame(
        {
            "user": user,
            "item": rng.integers(1, items + 1, rows),
            "rating": rng.integers(1, 6, rows),
            "timestamp": rng.integers(10**9, 10**9 + 20, rows),
            "text": [f"schön {n}" if n % 3 else None for n in range(rows)],
        }
    ).write_csv(folder / "events.csv")
    pl.DataFrame(
        {
            "item": np.arange(1, items + 1),
            "text": [f"Item {n}" if n % 4 else None for n in range(items)],
            "tags": ["ab"[: n % 3] for n in range(items)],
        }
    ).write_csv(folder / "items.csv")
    return folder


def calls(source: Path) -> int:
    """How often the reader was called for a source."""
    log = source.parent / CALLS
    return len(log.read_text().splitlines()) if log.exists() else 0


def prepare_csv(source: Path, name: str = "csv", *, force: bool = False) -> Prepared:
    """Prepares the files of `write_source`."""
    return prepare(name, ENTRY, source, PrepareSettings(minimum_history=1), force=force)


def main() -> None:
    """For tests that need another process: `python -m ... SOURCE [kill|limit] [N]`."""
    from benchmark.data.store import in_place, store

    how = sys.argv[2] if len(sys.argv) > 2 else ""
    if how == "kill-before-array":
        write, left = store._write, [int(sys.argv[3])]

        def killed(*arguments: object) -> None:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            write(*arguments)

        store._write = killed
    elif how == "kill-between-renames":
        in_place.shutil.rmtree = lambda *a, **k: None
        rename = Path.rename

        def second(self: Path, target: Path) -> Path:
            if self.parent.name == ".new":
                os.kill(os.getpid(), signal.SIGKILL)
            return rename(self, target)

        Path.rename = second
    elif how == "limit":
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
    done = prepare_csv(Path(sys.argv[1]), force="force" in sys.argv)
    print("skipped" if done.skipped else "prepared")


if __name__ == "__main__":
    main()
