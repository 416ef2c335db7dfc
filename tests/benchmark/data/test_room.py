from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data import room
from benchmark.data.arrays import let_go
from benchmark.data.parallel import side_by_side
from benchmark.data.room import Room, kept_rows, room_in

STARS = pl.Enum(["a", "b", "c"])
FRAMES = st.lists(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.sampled_from("abc"), st.none() | st.floats())),
    min_size=1,
    max_size=6,
)


def frame_of(rows, *, texts):
    schema = {"user": pl.UInt32, "stars": pl.String if texts else STARS, "maybe": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


@settings(deadline=None, max_examples=60)
@given(FRAMES, st.booleans(), st.integers(0, 200))
def test_a_pile_is_its_rows_in_order_whatever_they_are(lists, texts, large):
    frames = [frame_of(rows, texts=texts) for rows in lists]
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(room, "LARGE_BYTES", large):
        pile = Room(Path(folder)).pile()
        for frame in frames:
            pile.add(frame)
        assert pile.frame().equals(pl.concat(frames))
        assert not list(Path(folder).iterdir())


@settings(deadline=None, max_examples=40)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 9))
def test_rows_that_are_kept(keep, at_once):
    mask, frame = np.array(keep), pl.DataFrame({"row": range(len(keep))})
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(room, "LARGE_BYTES", 1),
        room_in(Path(folder)),
    ):
        assert kept_rows(frame, mask, at_once)["row"].to_list() == np.flatnonzero(mask).tolist()


def test_large_arrays_lie_in_files_and_small_ones_do_not(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "LARGE_BYTES", 4096)
    with room_in(tmp_path):
        # Tasks that run beside the caller have its room.
        small, large = side_by_side([lambda: room.room().empty(10, np.int32),
                                     lambda: room.room().empty((600, 2), np.int32)])  # fmt: skip
    assert small.base is None
    assert large.shape == (600, 2)
    assert isinstance(large.base, np.ndarray)
    large[:] = np.arange(1200).reshape(-1, 2)
    let_go([small, large, large[5:]])
    assert large.sum() == 1199 * 600
    assert not list(tmp_path.iterdir())
    assert room.room().empty((600, 2), np.int32).base is None
