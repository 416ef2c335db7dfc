"""Which data sets are ready, and what makes others so. Imports nothing heavy, for `list`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.entries import DatasetEntry
from benchmark.errors import UserError
from benchmark.system import home


@dataclass(frozen=True)
class Ready:
    """A prepared data set at a glance.

    Attributes:
        name: The data set.
        summary: Its size in words; what is wrong with it where it cannot be opened.
        broken: Whether it cannot be opened.
    """

    name: str
    summary: str
    broken: bool = False


def ready(name: str) -> Ready | None:
    """What is prepared under a name, None where nothing is."""
    if not (home.datasets_folder() / name).is_dir():
        return None
    from benchmark.data.store.manifest import read_manifest  # imports pydantic, which is not quick

    try:
        manifest = read_manifest(name)
    except UserError as error:
        return Ready(name, str(error), broken=True)
    return None if manifest is None else Ready(name, sizes(manifest.facts))


def ready_members(family: str) -> list[Ready]:
    """The prepared members of a family such as `amazon-2018/*`, by name."""
    folder = home.datasets_folder() / family.partition("/")[0]
    if not folder.is_dir():
        return []
    # What is being prepared lies under a name with a dot in front.
    names = sorted(path.name for path in folder.iterdir() if path.name[0] != ".")
    found = [ready(f"{folder.name}/{name}") for name in names]
    return [member for member in found if member is not None]


def sizes(facts: Mapping[str, object]) -> str:
    """Users, items and events in words."""
    return ", ".join(f"{facts[name]:,} {name}" for name in ("users", "items", "events"))


def how_to_prepare(name: str, entry: DatasetEntry) -> str:
    """The commands that make a data set ready."""
    by_hand = f"`userllm-bench data prepare {name} --from PATH`"
    if not entry.urls:
        return by_hand
    return f"`userllm-bench data download {name}`, or, with files you have, {by_hand}"


def download_folder(name: str) -> Path:
    """Where the publisher's files of a data set belong."""
    return home.downloads_folder() / name
