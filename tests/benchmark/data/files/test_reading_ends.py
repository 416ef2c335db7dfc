"""A reading that fails leaves no thread behind, which somebody might wait for later."""

from __future__ import annotations

import threading
from pathlib import Path

import polars as pl
import pytest

from benchmark.data.files import plain_text
from benchmark.data.files.archives import Opened
from benchmark.data.files.lines import read_delimited
from benchmark.errors import UserError


def test_its_threads_end_with_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_text, "BLOCK_BYTES", 16)
    path = tmp_path / "ratings.csv"
    path.write_text("1,2\nbroken\n" * 500)
    before = set(threading.enumerate())
    with pytest.raises(UserError, match="broken") as caught:
        read_delimited(
            Opened("ratings.csv", path),
            ",",
            {"user": pl.Int64, "item": pl.Int64},
            header=False,
            broken=0.01,
        )
    assert caught.value.__traceback__ is not None  # it holds on to what was being read
    assert set(threading.enumerate()) <= before
