from __future__ import annotations

import pytest

from benchmark.perf import tuning_step
from benchmark.perf.tuning_step import compare


@pytest.mark.filterwarnings("ignore")
def test_both_sides_read_the_same_texts(world, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning_step, "stages_folder", lambda: tmp_path)
    work = tuning_step._Work(world)
    for number, rows in enumerate(work.rows):
        packed = int((work.layouts[number].keep.sum(dim=2) > 0).sum())
        assert sum(map(len, rows)) <= packed
        assert len(rows) == sum(min(8, int(n) - 1) for n in work.batches[number].lengths)
    result = compare(world, 2)
    assert result.ours is not None
    assert result.details["ours_over_theirs"] == pytest.approx(result.ours / result.theirs)
    assert result.details["tokens"] > 0
