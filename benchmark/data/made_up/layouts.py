"""Writes a synthetic world as the publishers of real data sets write theirs.

The files have the publisher's names, columns, order of keys, encodings and ids, so that whatever
reads the real files reads these. With `quirks` they also have what makes real files awkward; each
layout's writer says which. Nothing in them stems from the real data.

From Python: `write_layout("ml-20m", folder, SyntheticSettings(users=1000, bulk=True))` gives the
path for `userllm-bench data prepare ml-20m --from PATH`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import polars as pl

from benchmark.data.made_up.synthetic import SyntheticSettings, make_frames
from benchmark.errors import unknown
from benchmark.registry import load
from benchmark.schema import USER

MOVIELENS = ("ml-latest-small", "ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m")
LAYOUTS = {
    **dict.fromkeys(MOVIELENS, "layouts_movielens:write_movielens_csv"),
    "ml-1m": "layouts_movielens:write_movielens_dat",
    "ml-10m": "layouts_movielens:write_movielens_dat",
    "amazon-2014": "layouts_amazon:write_amazon_2014",
    "amazon-2018": "layouts_amazon:write_amazon_2018",
    "amazon-2023": "layouts_amazon:write_amazon_2023",
    "google-local": "layouts_google:write_google_local",
    "own": "layouts_own:write_own",
}
"""What writes each layout, by name."""
DEFAULT_PART = "Synthetic"
"""The category or state where a layout's name has none."""


@dataclass(frozen=True)
class Sheet:
    """A world to be written.

    Attributes:
        layout: The layout's name.
        part: Category or state.
        folder: Where files go.
        catalog: Items numbered from 1, with `text`, `year` and `genres`.
        chunks: Events with `user`, `item`, `rating`, `timestamp`, `text`; grouped by user.
        quirks: Whether to be as awkward as real files are.
    """

    layout: str
    part: str
    folder: Path
    catalog: pl.DataFrame
    chunks: Iterator[pl.DataFrame]
    quirks: bool


def write_layout(
    layout: str,
    folder: Path,
    settings: SyntheticSettings,
    *,
    quirks: bool = False,
    zipped: bool = False,
) -> Path:
    """Writes a world.

    Args:
        layout: One of `LAYOUTS`, or one with a category, state or name: `amazon-2018/Toys`.
        folder: Where files go; it is made. Files of the same name are replaced.
        settings: How the world is made; with `bulk`, millions of events take seconds.
        quirks: Whether to be as awkward as real files are.
        zipped: For MovieLens: one archive as GroupLens gives it, instead of its folder.

    Returns:
        What to give to `--from`.

    Raises:
        UserError: There is no such layout.
    """
    family, _, part = layout.partition("/")
    if family not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    movielens = family in MOVIELENS
    catalog, chunks = make_frames(settings, texts=not movielens)
    folder.mkdir(parents=True, exist_ok=True)
    sheet = Sheet(family, part or DEFAULT_PART, folder, catalog, _by_user(chunks), quirks)
    path = cast("Callable[[Sheet], Path]", load(f"benchmark.data.made_up.{LAYOUTS[family]}"))(sheet)
    return _zip(path, folder / f"{family}.zip") if zipped and movielens else path


def _by_user(chunks: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for chunk in chunks:
        yield chunk.sort(USER, maintain_order=True)


def _zip(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for file in sorted(folder.iterdir()):
            out.write(file, f"{folder.name}/{file.name}")
    return archive
