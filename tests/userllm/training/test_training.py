from __future__ import annotations

import copy
import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

import benchmark
from benchmark.types import StageReport
from tests.tiny_model import make_catalog, make_histories
from userllm.config import OptimizerSettings, UserLLMSettings
from userllm.decoding.trie import TitleTrie
from userllm.encoder.objectives import NextEventObjective
from userllm.encoder.user_encoder import UserEncoder
from userllm.fusion import GatedCrossAttention
from userllm.llm.embedded import _NextToken
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM
from userllm.stages import Alignment, Tuning
from userllm.trainable import apply_strategy
from userllm.training.cache import cached_stage, stage_key
from userllm.training.loop import (
    Stage,
    device_facts,
    precision,
    run_stage,
    training_device,
)
from userllm.training.recompute import checkpoint_activations


class Quiet:
    def stage(self, name: str, total_epochs: float | None = None) -> None: ...
    def update(
        self, epoch: float, loss: float | None = None, value: float | None = None
    ) -> None: ...
    def note(self, text: str) -> None: ...


class Line(nn.Module):
    """Learns that y = 3x."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(1))

    def training_loss(self, batch: Tensor) -> Tensor:
        return ((self.slope * batch - 3 * batch) ** 2).mean()


def stage(**changes: object) -> Stage:
    fields: dict[str, object] = {
        "name": "line",
        "batches": itertools.repeat(torch.ones(4)),
        "steps": 60,
        "steps_per_epoch": 10,
        "targets_per_step": 4,
        "optimizer": OptimizerSettings(learning_rate=0.3, weight_decay=0.0),
    }
    return Stage(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_stage_learns_and_reports_what_it_took() -> None:
    line = Line()
    report = run_stage(line, stage(), Quiet())
    assert line.slope.item() == pytest.approx(3, abs=0.1)
    assert (report.steps, report.epochs, report.targets) == (60, 6.0, 240)
    assert report.seconds > 0
    assert report.stopped == "budget"


def test_the_best_look_is_kept_and_looking_stops_early() -> None:
    line, values = Line(), iter([1.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    slopes: list[float] = []

    def look() -> float:
        slopes.append(line.slope.item())
        return next(values)

    report = run_stage(line, stage(validate=look, looks=6, patience=2), Quiet())
    assert [point.value for point in report.curve] == [1.0, 5.0, 4.0, 3.0]
    assert report.stopped == "early"
    assert report.steps == 40
    assert line.slope.item() == slopes[1]


def test_a_loss_that_is_no_number_stops_with_a_clear_error() -> None:
    class Broken(Line):
        def training_loss(self, batch: Tensor) -> Tensor:
            return super().training_loss(batch) * float("nan")

    with pytest.raises(FloatingPointError, match="loss became nan at step 1"):
        run_stage(Broken(), stage(), Quiet())


def test_an_interrupt_reaches_the_caller() -> None:
    class Interrupted(Line):
        def training_loss(self, batch: Tensor) -> Tensor:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(Interrupted(), stage(), Quiet())


def test_a_module_without_a_loss_is_refused() -> None:
    with pytest.raises(TypeError, match="training_loss"):
        run_stage(nn.Linear(1, 1), stage(), Quiet())


def test_a_cached_stage_is_built_once_and_appears_whole(tmp_path: Path) -> None:
    built = []

    def build(folder: Path) -> StageReport:
        built.append(folder)
        (folder / "weights").write_text("w")
        return StageReport("s", 1.5, steps=3)

    key = stage_key("s", seed=1)
    first, report = cached_stage(tmp_path, key, build)
    second, again = cached_stage(tmp_path, key, build)
    assert len(built) == 1
    assert first == second
    assert (first / "weights").read_text() == "w"
    assert (report.reused, again.reused, again.seconds) == (False, True, 1.5)


def test_a_failed_stage_leaves_nothing_and_a_broken_one_is_built_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> StageReport:
        (folder / "half").write_text("")
        raise RuntimeError

    key = stage_key("s", seed=1)
    with pytest.raises(RuntimeError):
        cached_stage(tmp_path, key, fail)
    assert [path.name for path in tmp_path.iterdir()] == [".locks"]
    (tmp_path / key).mkdir()
    (tmp_path / key / "stage.json").write_text("{")
    place, report = cached_stage(tmp_path, key, lambda folder: StageReport("s", 1.0))
    assert not report.reused
    assert json.loads((place / "stage.json").read_text())["seconds"] == 1.0


def test_two_that_need_a_stage_at_once_build_it_once(tmp_path: Path) -> None:
    begun, go_on, built = threading.Event(), threading.Event(), []

    def build(folder: Path) -> StageReport:
        built.append(folder)
        begun.set()
        assert go_on.wait(60)
        return StageReport("s", 1.5)

    def second() -> StageReport:
        begun.wait(60)
        threading.Timer(0.1, go_on.set).start()
        return cached_stage(tmp_path, "key", build)[1]

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cached_stage, tmp_path, "key", build)
        waiting = pool.submit(second).result()
    assert len(built) == 1
    assert (waiting.reused, waiting.seconds) == (True, 1.5)
    assert waiting.waited_seconds > 0
    assert first.result()[1].waited_seconds == 0


def test_a_key_changes_with_its_parts() -> None:
    assert len({stage_key("s", a=1), stage_key("s", a=2), stage_key("t", a=1)}) == 3


def test_a_key_changes_with_the_version_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    before = stage_key("s")
    monkeypatch.setattr(benchmark, "__version__", "another")
    assert stage_key("s") != before


def test_a_key_changes_with_device_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    fp32, auto = OptimizerSettings(precision="fp32"), OptimizerSettings(precision="auto")
    assert device_facts(auto, "cpu") == {}
    monkeypatch.setattr(
        "userllm.training.loop.training_device", lambda accelerator: torch.device("cuda", 0)
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    facts = []
    for able in (True, False):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True, able=able: able
        )
        facts += [device_facts(fp32, "gpu"), device_facts(auto, "gpu")]
    assert facts[1] == {"device": "cuda", "precision": "bf16-mixed"}
    assert facts[0] == facts[2] == facts[3] == {"device": "cuda", "precision": "32-true"}


def test_the_processor_is_found_as_lightning_finds_it() -> None:
    assert training_device("cpu") == L.Fabric(accelerator="cpu", devices=1).device


class Noisy(nn.Module):
    """A frozen part and a part that learns, both with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).requires_grad_(False)
        self.learning = nn.Sequential(nn.Linear(4, 1), nn.Dropout(0.5))

    def training_loss(self, batch: Tensor) -> Tensor:
        return self.learning(self.frozen(batch)).square().mean()


def test_looking_does_not_change_what_is_learnt() -> None:
    weights = []
    for looks in (0, 1):
        torch.manual_seed(0)
        noisy = Noisy().eval()  # as a model that was just loaded
        run_stage(noisy, stage(validate=lambda: 1.0, looks=looks, steps=5), Quiet())
        weights.append(noisy.learning[0].weight.detach().clone())
    # Each look is better than the one before, so the last one is kept.
    torch.manual_seed(0)
    last = Noisy().eval()
    values = iter([1.0, 2.0, 3.0, 4.0, 5.0])
    run_stage(last, stage(validate=lambda: next(values), looks=5, steps=5), Quiet())
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], last.learning[0].weight)


def test_accumulated_batches_are_one_step_of_their_mean() -> None:
    generator = torch.Generator().manual_seed(3)
    data = torch.randn(40, 6, generator=generator)
    slopes = []
    for accumulate in (1, 2):
        line = Line()
        optimizer = OptimizerSettings(learning_rate=0.1, accumulate=accumulate)
        batches = itertools.cycle(data.view(20 * accumulate, -1))
        report = run_stage(line, stage(batches=batches, steps=20, optimizer=optimizer), Quiet())
        assert report.steps == 20
        slopes.append(line.slope.item())
    assert slopes[0] == pytest.approx(slopes[1], abs=1e-5)


@pytest.mark.parametrize("chosen", ["fp32", "bf16"])
def test_the_gradient_is_clipped(chosen: str) -> None:
    class Steep(Line):
        def training_loss(self, batch: Tensor) -> Tensor:
            return 1000 * super().training_loss(batch)

    steep = Steep()
    optimizer = OptimizerSettings(clip=0.5, learning_rate=0.1, precision=chosen)  # type: ignore[arg-type]
    run_stage(steep, stage(steps=3, optimizer=optimizer), Quiet())
    assert steep.slope.grad is not None
    assert steep.slope.grad.norm().item() == pytest.approx(0.5, rel=1e-3)


def test_precision_is_that_of_the_device() -> None:
    assert precision(OptimizerSettings(), "cpu") == "32-true"
    assert precision(OptimizerSettings(precision="bf16"), "cpu") == "bf16-mixed"
    assert precision(OptimizerSettings(precision="fp32"), "gpu") == "32-true"


class Graded(nn.Module):
    """Trains nothing of what it wraps, but keeps losses and gradients."""

    def __init__(self, learner: nn.Module) -> None:
        super().__init__()
        self.learner = learner
        self.losses: list[Tensor] = []

    def training_loss(self, batch: Any) -> Tensor:
        torch.manual_seed(4)
        loss = self.learner.training_loss(batch)  # type: ignore[operator]
        self.losses.append(loss.detach())
        return loss

    def gradients(self) -> dict[str, Tensor]:
        return {n: p.grad for n, p in self.learner.named_parameters() if p.grad is not None}


def gradients_of(learner: nn.Module, batch: Any, chosen: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradients of one batch, by way of a stage that leaves the weights as they are."""
    before = copy.deepcopy(learner.state_dict())
    graded = Graded(learner)
    optimizer = OptimizerSettings(precision=chosen, clip=1e9)
    run_stage(graded, stage(batches=itertools.repeat(batch), steps=1, optimizer=optimizer), Quiet())
    learner.load_state_dict(before)
    return graded.losses[0], graded.gradients()


def learners(encoder: UserEncoder, llm: LanguageModel, trie: TitleTrie) -> dict[str, nn.Module]:
    settings = UserLLMSettings.model_validate({"fusion": {"heads": 2}})
    model = UserLLM(encoder, llm, settings, make_catalog())
    assert model.fusion is not None
    for block in model.fusion.blocks:
        assert isinstance(block, GatedCrossAttention)
        for gate in block.gates:
            nn.init.constant_(gate, 0.1)
    return {
        "encoder": NextEventObjective(encoder, 0.1),
        "tune": Tuning(model, 3),
        "align": Alignment(model, settings.align.noise),
        "next_token": _NextToken(llm.model),
    }


BATCHES: dict[str, Any] = {
    "encoder": make_histories([3, 6, 5]),
    "tune": make_histories([3, 6, 2]),
    "align": torch.tensor([[2, 1], [7, 4], [5, 9]]),
    "next_token": torch.tensor([[5, 9, 30, 7], [8, 2, -1, -1]]),
}


@pytest.mark.parametrize("name", list(BATCHES))
def test_bf16_gives_32_bit_losses_and_gradients_near_those_of_32(
    name: str, encoder: UserEncoder, llm: LanguageModel, trie: TitleTrie
) -> None:
    learner = learners(encoder, llm, trie)[name]
    whole, exact = gradients_of(learner, BATCHES[name], "fp32")
    half, rough = gradients_of(learner, BATCHES[name], "bf16")
    assert half.dtype == torch.float32
    assert half.item() != whole.item()
    assert half.item() == pytest.approx(whole.item(), rel=0.05)
    assert exact.keys() == rough.keys()
    assert exact
    assert all(grad.dtype == torch.float32 for grad in rough.values())
    flat = [torch.cat([grads[n].flatten() for n in exact]) for grads in (exact, rough)]
    assert torch.cosine_similarity(*flat, dim=0) > 0.98


@pytest.mark.parametrize("strategy", ["full", "lora", "enc", "proj"])
@pytest.mark.parametrize("name", ["tune", "align"])
def test_gradient_checkpointing_changes_no_gradient(
    name: str, strategy: str, encoder: UserEncoder, llm: LanguageModel, trie: TitleTrie
) -> None:
    learner = learners(encoder, llm, trie)[name]
    model: UserLLM = learner.model  # type: ignore[assignment]
    apply_strategy(strategy, llm, encoder, model.bridge(), rank=2)
    assert model.fusion is not None
    called = []
    for layer in llm.layers():
        layer.self_attn.register_forward_hook(lambda *_: called.append(1))  # type: ignore[union-attr]
    results = []
    for blocks in (None, [], model.fusion.blocks):
        called.clear()
        checkpoint_activations(llm, blocks is not None, blocks or [])
        results.append(gradients_of(learner, BATCHES[name], "fp32"))
        assert len(called) == len(llm.layers()) * (1 if blocks is None else 2)
    checkpoint_activations(llm, False, model.fusion.blocks)
    (loss, plain), *others = results
    for other, again in others:
        assert torch.equal(loss, other)
        assert plain.keys() == again.keys()
        assert all(torch.equal(plain[n], again[n]) for n in plain)
    assert all("forward" not in vars(module) for module in llm.layers())
    assert any(grad.abs().sum() > 0 for grad in plain.values())


def test_a_cache_is_written_once_under_gradient_checkpointing(llm: LanguageModel) -> None:
    tokens = torch.tensor([[5, 9, 30]])
    expected = llm.model(input_ids=tokens, use_cache=True)
    checkpoint_activations(llm, True)
    found = llm.model(input_ids=tokens, use_cache=True)
    found.logits.sum().backward()
    assert found.past_key_values.get_seq_length() == 3
    assert torch.equal(found.logits, expected.logits)
