"""What cannot be prepared or opened, and what is then said."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.data.opening import load_dataset
from benchmark.data.raw import PrepareSettings
from benchmark.data.store import prepare
from benchmark.data.store.manifest import dataset_folder, read_manifest
from benchmark.data.store.store import open_dataset
from benchmark.entries import DatasetEntry
from benchmark.errors import UserError
from tests.benchmark.data.csv_reader import ENTRY, prepare_csv


@pytest.mark.parametrize(
    ("entry", "there", "message"),
    [
        (DatasetEntry("tests.world:small_world", "", embedded=True), True, "nothing to prepare"),
        (DatasetEntry("no.such:thing", "", ("no_such_module",)), True, "not available"),
        (ENTRY, False, "is not there"),
    ],
)
def test_what_cannot_be_prepared(source, entry, there, message):
    place = source if there else source / "elsewhere"
    with pytest.raises(UserError, match=message):
        prepare.prepare("csv", entry, place, PrepareSettings())


@pytest.mark.parametrize("name", ["../x", "a/../b", ".x", "a/b/c", "", "a\0b", "a/"])
def test_names_that_would_lead_elsewhere(source, name):
    with pytest.raises(UserError, match="no name"):
        prepare.prepare(name, ENTRY, source, PrepareSettings())
    with pytest.raises(UserError, match="no name"):
        read_manifest(name)


def test_all_filtered_away_leaves_nothing(source):
    with pytest.raises(UserError, match=r"none of .* is left with minimum_history 50"):
        prepare.prepare("csv", ENTRY, source, PrepareSettings(minimum_history=50))
    assert read_manifest("csv") is None
    assert not dataset_folder("csv").exists()


def test_opening_by_name(source):
    with pytest.raises(UserError, match=r"not prepared.*data prepare csv --from PATH"):
        load_dataset("csv", ENTRY)
    with pytest.raises(UserError, match=r"not prepared.*data prepare csv --from PATH"):
        open_dataset("csv")
    prepare_csv(source)
    assert load_dataset("csv", ENTRY).name == "csv"
    gone = DatasetEntry("no.such:thing", "", ("no_such_module",))
    assert np.array_equal(load_dataset("csv", gone).events.items, open_dataset("csv").events.items)
