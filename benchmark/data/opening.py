"""Finds a data set by name: embedded ones are loaded, others opened where they were prepared."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from benchmark.data.dataset import Dataset
from benchmark.data.store.manifest import read_manifest
from benchmark.data.store.ready import how_to_prepare
from benchmark.data.store.store import open_dataset
from benchmark.entries import DatasetEntry
from benchmark.errors import UserError
from benchmark.tables import why_unavailable


def load_dataset(name: str, entry: DatasetEntry) -> Dataset:
    """A data set that is ready here.

    Raises:
        UserError: It is not, with what makes it ready.
    """
    if not entry.embedded:
        if read_manifest(name) is None:
            raise UserError(f"data set {name!r} is not prepared: {how_to_prepare(name, entry)}")
        return open_dataset(name)  # what read the publisher's files is not needed any more
    reason = why_unavailable(entry)
    if reason:
        raise UserError(f"data set {name!r} is not available: {reason}")
    return cast("Callable[[], Dataset]", entry.load())()
