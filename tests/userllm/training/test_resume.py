from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmark.data.division import Split
from tests.userllm.resumable import (
    GATHER,
    STEPS,
    Impatient,
    Listener,
    Noisy,
    Outcome,
    assert_same,
    batches,
    train,
)
from userllm.config import LanguageModelSettings, UserEncoderSettings
from userllm.encoder.pretraining import pretrained_encoder
from userllm.llm.corpus import language_model

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
