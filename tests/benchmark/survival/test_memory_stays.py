"""A long sweep in one process takes no more memory at its end than soon after its beginning."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from tests.benchmark.survival.bench import starter, tables_of
from tests.fakes import Silent

CELLS, SETTLED = 100, 20
TINY = "{width: 8, layers: 1, heads: 2}"
SHORT = "{history: 6, batch_size: 64, epochs: 0.1, looks: 1}"
CHEAP = (
    "next_item.bootstrap_samples=100",
    "cost.users=1",
    "cost.repetitions=1",
    "cost.seconds=0.01",
)
USER_LLM = (
    f"user_encoder.transformer={TINY}",
    f"user_encoder.fit={SHORT}",
    "user_llm.language_model={width: 8, layers: 1, heads: 2, vocabulary: 300, epochs: 0.2}",
    "user_llm.fusion.heads=2",
    "user_llm.align.steps=1",
    "user_llm.tune={targets: 50, windows: 16, looks: 1}",
)
RESIDENT = Path("/proc/self/statm")


def resident_bytes() -> int:
    return int(RESIDENT.read_text().split()[1])


def watched(monkeypatch: pytest.MonkeyPatch, measure: Callable[[], int]) -> list[int]:
    """What is measured after each cell."""
    found: list[int] = []
    monkeypatch.setattr(Silent, "finish", lambda self, text: found.append(measure()))
    return found


@pytest.mark.skipif(not RESIDENT.exists(), reason="nothing says how much memory is resident")
def test_memory_is_flat_over_many_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    start = starter(tables_of("sasrec"), tmp_path / "out")
    sets = (f"sasrec.transformer={TINY}", f"sasrec.fit={SHORT}", *CHEAP)
    found = watched(monkeypatch, resident_bytes)
    rows = start("sasrec", sets, seeds=",".join(map(str, range(CELLS))), keep_models=False)
    assert all(row.record for row in rows)
    assert len(found) == CELLS
    assert max(found[-5:]) <= 1.1 * max(found[:SETTLED])


def test_no_model_outlives_its_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    start = starter(tables_of("user_encoder", "user_llm"), tmp_path / "out")

    def modules() -> int:
        gc.collect()
        return sum(issubclass(type(kept), nn.Module) for kept in gc.get_objects())

    found = watched(monkeypatch, modules)
    rows = start("user_llm", (*USER_LLM, *CHEAP), seeds="0,1,2")
    assert all(row.record for row in rows)
    assert found[2] == found[1] <= found[0] + 50
