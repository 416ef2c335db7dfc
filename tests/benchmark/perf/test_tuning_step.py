from __future__ import annotations

import pytest
import torch

from benchmark.perf import tuning_step
from benchmark.perf.tuning_step import compare


@pytest.mark.filterwarnings("ignore")
def test_both_sides_read_the_same_texts(world, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning_step, "stages_folder", lambda: tmp_path)
    work = tuning_step._Work(world)
    read = []
    embed = work.llm.embed_tokens
    work.llm.embed_tokens = lambda tokens: read.append(tokens) or embed(tokens)
    for number in range(len(work.batches)):
        torch.manual_seed(number)
        work.step(number)
        assert torch.equal(read[-1], work.layouts[number].tokens)
        texts = sorted(token for row in work.rows[number] for token in row.tolist())
        layout = read[-1][read[-1] > 0]
        assert texts == sorted(layout.tolist())
    result = compare(world, 2)
    assert result.ours is not None
    assert result.details["ours_over_theirs"] == pytest.approx(result.ours / result.theirs)
    assert result.details["tokens"] > 0
