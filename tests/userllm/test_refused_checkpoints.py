"""Checkpoints that are of no use: damaged, of something else, or that found no room."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import benchmark
from tests.userllm.resumable import (
    GATHER,
    STEPS,
    Listener,
    Noisy,
    assert_same,
    batches,
    train,
)
from userllm.config import OptimizerSettings
from userllm.training.resume import CheckpointFile


@pytest.mark.parametrize(
    "change",
    [
        {"key": "another seed"},
        {"steps": STEPS + 1},
        {"optimizer": OptimizerSettings(learning_rate=0.04, accumulate=GATHER)},
    ],
)
def test_a_checkpoint_of_something_else_is_ignored(
    change: dict[str, object], tmp_path: Path
) -> None:
    file, listener = tmp_path / "c.pt", Listener()
    train(Noisy(), batches(), checkpoint=file)
    found = train(Noisy(), batches(), listener, checkpoint=file, **change)
    assert_same(train(Noisy(), batches(), **change), found)
    assert "belongs to other settings" in listener.notes[0]


def test_a_checkpoint_of_another_version_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, listener = tmp_path / "c.pt", Listener()
    train(Noisy(), batches(), checkpoint=file)
    monkeypatch.setattr(benchmark, "__version__", "another")
    train(Noisy(), batches(), listener, checkpoint=file)
    assert "or versions" in listener.notes[0]


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: b"no zip", lambda data: data[: len(data) // 2]]
)
def test_a_broken_checkpoint_is_ignored(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    file, listener = tmp_path / "c.pt", Listener()
    whole = train(Noisy(), batches(), checkpoint=file)
    file.write_bytes(damage(file.read_bytes()))
    assert_same(whole, train(Noisy(), batches(), listener, checkpoint=file))
    assert "is broken" in listener.notes[0]


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return (tmp_path / "sprung").write_text, ("x",)

    file = tmp_path / "c.pt"
    torch.save({"owner": Trap()}, file)
    train(Noisy(), batches(), checkpoint=file)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("failed writing")]
)
def test_a_full_disk_is_said_once_and_training_goes_on(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise error

    whole, listener = train(Noisy(), batches()), Listener()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        found = train(
            Noisy(), batches(), listener, checkpoint=tmp_path / "c.pt", save_every_seconds=0
        )
    assert_same(whole, found)
    assert len(listener.notes) == 1
    assert "goes on without saving" in listener.notes[0]
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_was_cut_or_changed_anywhere_is_not_taken_for_whole(
    tmp_path: Path,
) -> None:
    file = tmp_path / "c.pt"
    train(Noisy(), batches(), checkpoint=file)
    content = file.read_bytes()
    owner = torch.load(file, weights_only=True)["owner"]
    whole = CheckpointFile(file, owner, Listener()).load()
    assert whole is not None
    cut = [content[:size] for size in range(0, len(content), len(content) // 40)]
    changed = []
    for at in range(3, len(content), len(content) // 150):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        changed.append(bytes(damaged))
    refused = 0
    for damaged_content in (*cut, *changed):
        file.write_bytes(damaged_content)
        listener = Listener()
        found = CheckpointFile(file, owner, listener).load()
        refused += found is None
        if found is None:
            assert len(listener.notes) == 1
            assert listener.notes[0].startswith("begins anew")
        else:  # it was padding
            assert str(found) == str(whole)
    assert refused >= len(cut) + len(changed) // 3


def test_a_changed_weight_in_a_checkpoint_does_not_change_what_comes_out(tmp_path: Path) -> None:
    whole = train(Noisy(), batches(), patience=0)
    file, listener = tmp_path / "c.pt", Listener()
    with pytest.raises(KeyboardInterrupt):
        train(Noisy(interrupt_at=20), batches(), patience=0, checkpoint=file)
    content = file.read_bytes()
    saved = torch.load(file, weights_only=True)["weights"]["body.0.weight"]
    at = content.index(saved.numpy().tobytes())
    file.write_bytes(content[: at + 3] + bytes([content[at + 3] ^ 1]) + content[at + 4 :])
    assert_same(whole, train(Noisy(), batches(), listener, patience=0, checkpoint=file))
    assert ["is broken" in note for note in listener.notes] == [True]
