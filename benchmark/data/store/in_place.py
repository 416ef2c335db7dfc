"""Puts a prepared folder in its place as a whole, by one process at a time.

Everything that is not complete lies in hidden folders beside the data sets, where nothing looks
for one. A process that was killed leaves them behind; the next one that prepares clears them up.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import quote

from benchmark.data.store.manifest import dataset_folder
from benchmark.system import home
from benchmark.system.durable import sync
from benchmark.system.locking import locked


def alone(name: str, tell: Callable[[str], None]) -> AbstractContextManager[None]:
    """Holds the lock of a data set; waits where another process holds it."""
    waiting = f"another process is preparing {name}; waiting for it"
    return locked(home.datasets_folder(), quote(name, safe=""), tell, waiting)


def recover(name: str) -> None:
    """Clears up what a killed process left; call it with the lock held."""
    shutil.rmtree(_hidden(".new", name), ignore_errors=True)
    folder, before = dataset_folder(name), _hidden(".replaced", name)
    if before.exists():
        if folder.exists():
            shutil.rmtree(before)
        else:  # killed between taking the old one away and putting the new one there
            before.rename(folder)


@contextlib.contextmanager
def new_folder(name: str) -> Iterator[Path]:
    """An empty folder on the disk of the data sets; what is left of it in the end is removed."""
    folder = _hidden(".new", name)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(name: str, new: Path) -> None:
    """Makes a complete folder the data set's; who has opened the one before can still read it."""
    folder, before = dataset_folder(name), _hidden(".replaced", name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        folder.rename(before)
    try:
        new.rename(folder)
    except BaseException:
        if before.exists():
            before.rename(folder)
        raise
    sync(folder.parent)
    shutil.rmtree(before, ignore_errors=True)


def _hidden(kind: str, name: str) -> Path:
    place = home.datasets_folder() / kind
    place.mkdir(parents=True, exist_ok=True)
    return place / quote(name, safe="")
