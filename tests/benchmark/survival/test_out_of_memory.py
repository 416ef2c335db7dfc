from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.runs.failures import explain, out_of_memory
from tests.benchmark.survival.bench import SASREC, starter, tables_of
from tests.fakes import Fake
from userllm.training.module import TrainingModule

CPU = (
    "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried "
    "to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
)
ERRORS = {
    "python": MemoryError(),
    "processor": RuntimeError(CPU),
    "processor, elsewhere": RuntimeError("DefaultCPUAllocator: not enough memory: you tried"),
    "device": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "system": OSError(12, "Cannot allocate memory"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_of_every_kind_are_known(kind: str) -> None:
    assert out_of_memory(ERRORS[kind])
    assert explain(ERRORS[kind]).startswith("out of memory")


def test_what_torch_really_raises_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55, dtype=torch.uint8)
    assert out_of_memory(caught.value)
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    return starter(tables_of("sasrec", "user_encoder", "user_llm"), tmp_path / "out")


class Scarce:
    """Training whose steps raise an error until they gather gradients of enough batches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: BaseException, needed: int) -> None:
        self.gathered: list[int] = []
        step = TrainingModule.training_step

        def scarce(module: Any, batch: Any, index: int) -> Any:
            self.gathered.append(module.settings.accumulate)
            if module.settings.accumulate < needed:
                raise error
            return step(module, batch, index)

        monkeypatch.setattr(TrainingModule, "training_step", scarce)


@pytest.mark.parametrize("kind", ["processor", "device"])
def test_a_cell_runs_once_more_with_half_the_batch(
    start: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    whole = start("sasrec", SASREC)[0].record
    with monkeypatch.context() as patch:
        scarce = Scarce(patch, ERRORS[kind], needed=2)
        record = start("sasrec", SASREC, force=True)[0].record
    assert record is not None
    assert scarce.gathered[0] == 1
    assert set(scarce.gathered[1:]) == {2}
    # Each step learnt from as much, the cell is what was asked for, and the record says it all.
    assert record.fit.stages[0].steps == whole.fit.stages[0].steps
    assert record.fit.stages[0].targets == whole.fit.stages[0].targets
    assert record.config_hash == whole.config_hash
    assert record.method == whole.method
    assert record.budget["smaller_batches"] == {
        "sasrec.fit.batch_size": [16, 8],
        "sasrec.optimizer.accumulate": [1, 2],
    }
    assert "smaller_batches" not in whole.budget
    (note,) = record.fit.notes
    assert "out of memory at first" in note
    assert "sasrec.fit.batch_size=8 (16)" in note


def test_memory_that_does_not_suffice_for_half_is_a_row_that_says_what_to_set(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scarce(monkeypatch, ERRORS["device"], needed=4)
    rows = start("sasrec,alpha", SASREC)
    assert rows[0].error.startswith("out of memory, with smaller batches, sasrec.fit.batch_size=8")
    assert rows[0].error.endswith("set still less")
    assert rows[0].log is not None
    assert "OutOfMemoryError" in rows[0].log.read_text()
    assert rows[1].record is not None
    assert not list((tmp_path / "out").rglob("smaller_batches.json"))


def test_what_has_no_batch_is_not_tried_again(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = []
    monkeypatch.setattr(Fake, "_fail", lambda self: fits.append(1) or (_ for _ in ()).throw(
        ERRORS["processor"]
    ))  # fmt: skip
    assert start("alpha")[0].error.startswith("out of memory: ")
    assert len(fits) == 1


def test_only_the_stage_that_failed_gets_smaller_batches(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = (
        "user_encoder.transformer={width: 16, layers: 1, heads: 2}",
        "user_encoder.fit={history: 8, epochs: 1, looks: 1}",
        "user_llm.language_model={width: 16, layers: 1, heads: 2, vocabulary: 300, epochs: 1}",
        "user_llm.fusion.heads=2",
        "user_llm.align.steps=2",
        "user_llm.tune={targets: 400, windows: 12, looks: 1}",
    )
    asked = []
    step = TrainingModule.training_step

    def scarce(module: Any, batch: Any, index: int) -> Any:
        asked.append(type(module.learner).__name__)
        if asked.count("Tuning") == 1 and asked[-1] == "Tuning":
            raise ERRORS["processor"]
        return step(module, batch, index)

    monkeypatch.setattr(TrainingModule, "training_step", scarce)
    record = start("user_llm", sets)[0].record
    assert record is not None
    assert record.budget["smaller_batches"] == {
        "user_llm.tune.windows": [12, 6],
        "user_llm.tune.batch_size": [32, 16],
        "user_llm.tune.optimizer.accumulate": [1, 2],
    }
    stages = {stage.name: stage.reused for stage in record.fit.stages}
    assert stages == {"encoder": True, "language_model": True, "align": False, "tune": False}


def test_an_interrupt_of_the_second_try_goes_on_with_its_checkpoint(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    step = TrainingModule.training_step

    def scarce(module: Any, batch: Any, index: int) -> Any:
        calls.append(module.settings.accumulate)
        if calls[-1] == 1:
            raise ERRORS["python"]
        if len(calls) == 8:
            raise KeyboardInterrupt
        return step(module, batch, index)

    monkeypatch.setattr(TrainingModule, "training_step", scarce)
    with pytest.raises(KeyboardInterrupt):
        start("sasrec", SASREC)
    row = start("sasrec", SASREC)[0]
    assert row.record is not None
    assert any("goes on from step 3" in line for line in start.progress.lines)
    assert calls.count(1) == 1  # it knows better than to try again
    assert row.record.budget["smaller_batches"]
    assert not (tmp_path / "out" / ".unfinished").exists()
