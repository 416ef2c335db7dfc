"""What is published follows from the examples beside it, and holds nobody's ids."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from benchmark.records.results import EXAMPLES, find_records
from benchmark.records.verification import NO_EXAMPLES, OK, check
from benchmark.tables import default_tables

REFERENCE = Path(__file__).parent.parent / "results/reference"


def test_every_published_number_follows_from_its_examples() -> None:
    found = [check(path, default_tables()) for path in find_records([REFERENCE])]
    assert found
    wrong = [str(own.path) for own in found if own.status not in (OK, NO_EXAMPLES)]
    assert wrong == []
    assert sum(own.status == OK for own in found) > len(found) / 2


def test_published_examples_name_no_user_and_no_target() -> None:
    for path in REFERENCE.rglob(EXAMPLES):
        frame = pl.read_parquet(path)
        assert all(re.fullmatch(r"[0-9a-f]{16}", user) for user in frame["user"])
        assert not {"target", "item", "prompt", "reference", "output"} & set(frame.columns)
