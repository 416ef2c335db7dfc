from __future__ import annotations

import errno
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import benchmark
from benchmark.data.division import Split
from benchmark.types import StageReport
from userllm.config import LanguageModelSettings, OptimizerSettings, UserEncoderSettings
from userllm.corpus import language_model
from userllm.pretraining import pretrained_encoder
from userllm.resume import CheckpointFile
from userllm.training import Stage, run_stage

STEPS, GATHER = 12, 3
TARGET = -0.2  # the third look of six is the best


class Listener:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def stage(self, name: str, total_epochs: float | None = None) -> None: ...
    def update(
        self, epoch: float, loss: float | None = None, value: float | None = None
    ) -> None: ...
    def note(self, text: str) -> None:
        self.notes.append(text)


class Impatient(Listener):
    """Interrupts at the n-th step that it hears of."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def update(self, epoch: float, loss: float | None = None, value: float | None = None) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


class Noisy(nn.Module):
    """A frozen part, a part that learns with dropout, and a count of what it has seen."""

    def __init__(self, interrupt_at: int = -1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.body = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.4), nn.Linear(8, 1))
        self.register_buffer("scale", torch.ones(1))
        self.interrupt_at = interrupt_at
        self.losses: list[float] = []

    def training_loss(self, batch: Tensor) -> Tensor:
        torch.rand(1)
        if len(self.losses) == self.interrupt_at:
            raise KeyboardInterrupt
        loss = (self.body(self.frozen(batch)) * self.scale - batch.sum(1, keepdim=True)).square()
        self.losses.append(float(loss.mean().detach()))
        return loss.mean()


def batches(fail_at: int = -1) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(5)
    for number in itertools.count():
        if number == fail_at:
            raise OSError("the data went away")
        yield torch.randn(4, 6, generator=generator)


@dataclass
class Outcome:
    learner: Noisy
    report: StageReport
    random: Tensor


def train(
    learner: Noisy, data: Iterator[Tensor], progress: Listener | None = None, **changes: object
) -> Outcome:
    def look() -> float:
        assert not learner.training
        torch.rand(7)  # what a look draws is nothing to the training
        return -abs(float(learner.body[2].bias.detach()) - TARGET)

    fields: dict[str, object] = {
        "name": "noisy",
        "batches": data,
        "steps": STEPS,
        "steps_per_epoch": 4,
        "targets_per_step": 12,
        "optimizer": OptimizerSettings(learning_rate=0.05, warmup=0.3, accumulate=GATHER),
        "validate": look,
        "looks": 6,
        "patience": 2,
        **changes,
    }
    torch.manual_seed(1)
    stage = Stage(**fields)  # type: ignore[arg-type]
    report = run_stage(learner, stage, progress or Listener())
    return Outcome(learner, report, torch.get_rng_state())


def assert_same(one: Outcome, other: Outcome) -> None:
    assert one.learner.state_dict().keys() == other.learner.state_dict().keys()
    for name, value in one.learner.state_dict().items():
        assert torch.equal(value, other.learner.state_dict()[name]), name
    points = [[(p.step, p.value) for p in run.report.curve] for run in (one, other)]
    assert points[0] == points[1]
    assert one.report.steps == other.report.steps
    assert one.report.stopped == other.report.stopped
    assert torch.equal(one.random, other.random)


# The batch at which it stops, of 36, or of 30 with patience. A look is at every second step.
AT = (4, 7, 9, 20, 29)


@pytest.mark.parametrize("patience", [0, 2])
@pytest.mark.parametrize("at", AT)
def test_an_interrupted_stage_goes_on_bit_for_bit(at: int, patience: int, tmp_path: Path) -> None:
    whole = train(Noisy(), batches(), patience=patience)
    file = tmp_path / "folder" / "noisy.pt"
    learner, listener = Noisy(interrupt_at=at), Listener()
    assert whole.report.stopped == ("early" if patience else "budget")
    with pytest.raises(KeyboardInterrupt):
        train(learner, batches(), patience=patience, checkpoint=file)
    again = train(Noisy(), batches(), listener, patience=patience, checkpoint=file)
    assert_same(whole, again)
    done = at // GATHER * GATHER
    assert learner.losses[:done] + again.learner.losses == whole.learner.losses
    assert f"goes on from step {done // GATHER} of {STEPS}" in listener.notes[0]


@pytest.mark.parametrize("at", AT)
def test_an_error_of_the_data_loses_nothing(at: int, tmp_path: Path) -> None:
    whole = train(Noisy(), batches(), patience=0)
    file = tmp_path / "noisy.pt"
    learner = Noisy()
    with pytest.raises(OSError, match="went away"):
        train(learner, batches(fail_at=at), patience=0, checkpoint=file)
    again = train(Noisy(), batches(), patience=0, checkpoint=file)
    assert_same(whole, again)
    # Batches are fetched one ahead.
    done = (at - 1) // GATHER * GATHER
    assert learner.losses[:done] + again.learner.losses == whole.learner.losses


def test_interrupts_may_follow_one_another(tmp_path: Path) -> None:
    whole = train(Noisy(), batches())
    for _ in range(3):  # the second one comes before a step is done
        with pytest.raises(KeyboardInterrupt):
            train(Noisy(interrupt_at=4), batches(), checkpoint=tmp_path / "c.pt")
        with pytest.raises(KeyboardInterrupt):
            train(Noisy(interrupt_at=1), batches(), checkpoint=tmp_path / "c.pt")
    assert_same(whole, train(Noisy(), batches(), checkpoint=tmp_path / "c.pt"))


def test_the_best_look_before_an_interrupt_is_kept_after_it(tmp_path: Path) -> None:
    def run(interrupt_at: int = -1) -> tuple[Outcome, list[float]]:
        values = {2: 1.0, 4: 9.0}
        learner = Noisy(interrupt_at)
        bias: list[float] = []

        def look() -> float:
            step = (past + len(learner.losses)) // GATHER
            bias.append(float(learner.body[2].bias.detach()))
            return values.get(step, 0.0)

        file = tmp_path / "c.pt"
        return train(learner, batches(), validate=look, patience=0, checkpoint=file), bias

    past = 0
    with pytest.raises(KeyboardInterrupt):
        run(interrupt_at=6 * GATHER)
    past = 6 * GATHER
    resumed, bias = run()
    assert [p.value for p in resumed.report.curve] == [1.0, 9.0, 0.0, 0.0, 0.0, 0.0]
    (tmp_path / "c.pt").unlink()
    past = 0
    whole, all_bias = run()
    assert bias == all_bias[3:]
    assert float(resumed.learner.body[2].bias.detach()) == all_bias[1]
    assert_same(whole, resumed)


@pytest.mark.parametrize("patience", [0, 2])
def test_an_interrupt_after_the_last_step_keeps_the_best_look(
    patience: int, tmp_path: Path
) -> None:
    whole = train(Noisy(), batches(), patience=patience)
    file, listener = tmp_path / "c.pt", Impatient(whole.report.steps)
    with pytest.raises(KeyboardInterrupt):
        train(Noisy(), batches(), listener, patience=patience, checkpoint=file)
    again = train(Noisy(), batches(), patience=patience, checkpoint=file)
    assert again.learner.losses == []
    assert_same(whole, again)


def test_a_stage_that_has_ended_is_not_run_again(tmp_path: Path) -> None:
    file = tmp_path / "c.pt"
    first = train(Noisy(), batches(), checkpoint=file)
    written = file.stat().st_mtime_ns
    again = train(Noisy(), batches(fail_at=0), checkpoint=file)
    assert_same(first, again)
    assert again.learner.losses == []
    assert again.report.seconds == first.report.seconds
    assert file.stat().st_mtime_ns == written


def test_seconds_add_up_over_the_parts(tmp_path: Path) -> None:
    class Slow(Noisy):
        def training_loss(self, batch: Tensor) -> Tensor:
            time.sleep(0.01)
            return super().training_loss(batch)

    with pytest.raises(KeyboardInterrupt):
        train(Slow(interrupt_at=18), batches(), patience=0, checkpoint=tmp_path / "c.pt")
    report = train(Slow(), batches(), patience=0, checkpoint=tmp_path / "c.pt").report
    seconds = [point.seconds for point in report.curve]
    assert seconds == sorted(seconds)
    assert report.seconds >= 36 * 0.01


def test_every_step_can_be_saved_and_the_last_file_is_enough(tmp_path: Path) -> None:
    file = tmp_path / "c.pt"
    kept = tmp_path / "kept.pt"

    class Copying(Noisy):
        def training_loss(self, batch: Tensor) -> Tensor:
            if len(self.losses) == 5 * GATHER:
                kept.write_bytes(file.read_bytes())  # as a process that is killed leaves it
            return super().training_loss(batch)

    whole = train(Copying(), batches(), checkpoint=file, save_every_seconds=0)
    again = train(Noisy(), batches(), checkpoint=kept)
    assert_same(whole, again)
    assert len(again.learner.losses) == len(whole.learner.losses) - 5 * GATHER
    assert [path.name for path in tmp_path.iterdir()].count(".c.pt.tmp") == 0


def test_frozen_weights_are_not_saved(tmp_path: Path) -> None:
    train(Noisy(), batches(), checkpoint=tmp_path / "c.pt")
    saved = torch.load(tmp_path / "c.pt", weights_only=True)["weights"]
    assert set(saved) == {"scale", "body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias"}


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


def encoder_weights(split: Split, folder: Path, progress: Listener) -> Mapping[str, Tensor]:
    settings = UserEncoderSettings.model_validate(
        {"transformer": {"width": 16}, "fit": {"epochs": 2, "batch_size": 16, "looks": 2}}
    )
    encoder, _ = pretrained_encoder(
        split.train.events,
        settings,
        seed=3,
        fingerprint="f",
        cache=folder / "cache",
        progress=progress,
        validate=lambda encoder: float(encoder.item_table.sum()),
        checkpoints=folder / "unfinished",
    )
    return encoder.state_dict()


def language_model_weights(split: Split, folder: Path, progress: Listener) -> Mapping[str, Tensor]:
    llm, _ = language_model(
        split.train.catalog,
        split.train.events,
        LanguageModelSettings(width=16, heads=2, layers=1, vocabulary=300, epochs=0.5),
        name=None,
        seed=3,
        cache=folder / "cache",
        progress=progress,
        checkpoints=folder / "unfinished",
    )
    return llm.state_dict()


@pytest.mark.parametrize("build", [encoder_weights, language_model_weights])
def test_shared_stages_go_on_too(
    build: Callable[[Split, Path, Listener], Mapping[str, Tensor]],
    world_split: Split,
    tmp_path: Path,
) -> None:
    whole = build(world_split, tmp_path / "whole", Listener())
    parts, listener = tmp_path / "parts", Listener()
    with pytest.raises(KeyboardInterrupt):
        build(world_split, parts, Impatient(4))
    assert [path.name for path in (parts / "cache").iterdir()] == [".locks"]
    found = build(world_split, parts, listener)
    assert "goes on from step 4 of" in listener.notes[0]
    assert whole.keys() == found.keys()
    assert all(torch.equal(whole[name], found[name]) for name in whole)


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
