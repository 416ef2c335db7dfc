"""A reading that fails leaves no thread behind, which somebody might wait for later."""

from __future__ import annotations

import threading
from pathlib import Path

import polars as pl
import pytest

from benchmark.data.files import plain_text
from benchmark.data.files.archives import Opened
from benchmark.data.files.lines import read_delimited
from benchmark.errors import RunError


def test_its_threads_end_with_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_text, "BLOCK_BYTES", 16)
    path = tmp_path / "ratings.csv"
    path.write_text("1,2\n" * 5000)
    columns = {"user": pl.Int64, "item": pl.Int64}
    before = set(threading.enumerate())

    def fail(frame: pl.DataFrame) -> pl.DataFrame:
        raise RunError("no more of these")

    with pytest.raises(RunError, match="no more") as caught:
        read_delimited(
            Opened("ratings.csv", path), ",", columns, header=False, broken=0.0, each=fail
        )
    assert caught.value.__traceback__ is not None  # it holds on to what was being read
    assert set(threading.enumerate()) <= before
