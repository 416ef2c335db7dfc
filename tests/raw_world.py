"""A data set with files of its own, small enough to be written by a test: `events.csv`."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.data.files.archives import open_member
from benchmark.data.raw import PrepareSettings, Raw
from benchmark.entries import DatasetEntry
from benchmark.errors import UserError
from benchmark.schema import ITEM, TEXT, TIMESTAMP, Feature, FeatureKind

HEADER = "user,item,rating,timestamp,text"
RATINGS = ("1", "2", "3", "4", "5")


def read_raw(name: str, source: Path, settings: PrepareSettings) -> Raw:
    """A `Reader`. Item 1 has no title; broken lines are those without a timestamp."""
    with open_member(source, "events.csv") as opened:
        if HEADER not in opened.path.read_text():
            raise UserError(f"{opened.name} is not the file of {name!r}")
        events = pl.read_csv(opened.path, schema_overrides={"rating": pl.String})
    kept = events.filter(pl.col(TIMESTAMP).is_not_null())
    items = kept[ITEM].unique().sort()
    catalog = pl.DataFrame({ITEM: items, TEXT: [None if i == 1 else f"Item {i}" for i in items]})
    return Raw(
        events=kept,
        catalog=catalog,
        features=(Feature("rating", FeatureKind.CATEGORY, len(RATINGS), labels=RATINGS),),
        counts={"broken lines": len(events) - len(kept)},
        notes=("made up",),
    )


def write_raw(folder: Path, users: int = 12, broken: int = 0, items: int = 9) -> Path:
    """Files of it: every user meets five items, user n alone has n, item 1 twice."""
    rows = [HEADER]
    for user in range(1, users + 1):
        for nth in range(5):
            rows.append(
                f"{user},{(user + nth) % items + 1},{nth % 5 + 1},{1000 * nth + user},so {nth}"
            )
    rows += [f"{user},1,5,," for user in range(1, broken + 1)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events.csv").write_text("\n".join(rows) + "\n")
    return folder


def raw_entry(*urls: str, part: str = "", **facts: object) -> DatasetEntry:
    """An entry of it."""
    return DatasetEntry(
        "tests.raw_world:read_raw",
        "a toy",
        part=part,
        urls=urls,
        licence="for tests alone",
        citation="nobody",
        **facts,  # type: ignore[arg-type]
    )
