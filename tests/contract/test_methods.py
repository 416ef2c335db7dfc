"""Every method on the task, over a small world with a planted preference that it must find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.cost.answers import answer_cost
from benchmark.cost.config import CostSettings
from benchmark.data.dataset import Dataset
from benchmark.data.division import Split
from benchmark.data.splits import split_last
from benchmark.goals import NextItemGoal
from benchmark.protocols import BuiltEncoder, CandidateRanker, FitContext, Method
from benchmark.registrations import ENCODERS, METHODS
from benchmark.registry import load
from benchmark.tasks.config import NextItemSettings
from benchmark.tasks.next_item import NextItem
from benchmark.tasks.next_item_numbers import STRAYS
from benchmark.types import FitReport
from tests.world import randomise_tests
from userllm.llm.corpus import corpus
from userllm.llm.language_model import LanguageModel

FIT = {"history": 12, "batch_size": 16, "epochs": 25, "looks": 2}
SMALL = {"width": 32, "layers": 1, "heads": 2, "dropout": 0.1}
FAST = {"learning_rate": 5e-3}
ENCODER = {"transformer": SMALL, "fit": FIT, "optimizer": FAST}
LANGUAGE = {"width": 48, "heads": 4, "layers": 1, "vocabulary": 400, "epochs": 10, "batch_size": 8}
TINY: dict[str, dict[str, Any]] = {
    "popularity": {},
    "sasrec": ENCODER,
    "user_encoder": ENCODER,
    "bert4rec": {**ENCODER, "fit": {**FIT, "epochs": 80}},
    "dual_encoder": {**ENCODER, "fit": {**FIT, "epochs": 40}},
    "text_prompt": {
        "items": 3,
        "language_model": LANGUAGE,
        "targets": 16_000,
        "batch_targets": 48,
        "looks": 1,
        "optimizer": FAST,
    },
    "user_llm": {
        "language_model": LANGUAGE,
        "fusion": {"heads": 4},
        "align": {"steps": 80, "batch_size": 20, "distractors": 2},
        "tune": {
            "targets": 10_000,
            "windows": 16,
            "targets_per_window": 4,
            "looks": 1,
            "optimizer": FAST,
        },
    },
}
ENCODER_SETTINGS = {name: TINY[name] for name in ENCODERS}
DEFAULT = [name for name in METHODS if METHODS[name].in_default]


class Quiet:
    def stage(self, name: str, total_epochs: float | None = None) -> None: ...
    def update(
        self, epoch: float, loss: float | None = None, value: float | None = None
    ) -> None: ...
    def note(self, text: str) -> None: ...


def fit(
    name: str,
    split: Split,
    cache: Path,
    seed: int = 0,
    settings: dict[str, Any] | None = None,
    encoders: Mapping[str, dict[str, Any]] = ENCODER_SETTINGS,
) -> tuple[Any, FitReport]:
    entry = METHODS[name]
    for module in entry.requires:
        pytest.importorskip(module, reason=f"{name} needs {module}")
    fields = {**(TINY[name] if settings is None else settings), **entry.overrides}
    model = load(entry.settings).model_validate(fields)  # type: ignore[attr-defined]
    method: Method = entry.load()(model)  # type: ignore[operator]
    task = NextItem(NextItemSettings())
    context = FitContext(
        seed=seed,
        cache=cache,
        validate=task.validator(split, "include"),
        progress=Quiet(),
    )
    if entry.uses_encoder:
        context = replace(context, encoder=build_encoder(model, split, context, encoders))
    torch.manual_seed(seed)
    return method, method.fit(split.train, context)


def build_encoder(
    settings: Any, split: Split, context: FitContext, encoders: Mapping[str, dict[str, Any]]
) -> BuiltEncoder:
    entry = ENCODERS[settings.encoder]
    for module in entry.requires:
        pytest.importorskip(module, reason=f"{settings.encoder} needs {module}")
    own = load(entry.settings).model_validate(encoders[settings.encoder])  # type: ignore[attr-defined]
    build: Any = entry.load()
    built: BuiltEncoder = build(split.train, own, context, settings.pretrained)
    return built


def validation(method: CandidateRanker, split: Split, world: Dataset, batch_size: int = 128) -> Any:
    task = NextItem(NextItemSettings(batch_size=batch_size, bootstrap_samples=100))
    return task.evaluate(method, split, world, "include", part="validation")


def tokenizers(method: Any) -> list[str]:
    """Every tokenizer that a method holds, written out."""
    parts = [method, *vars(method).values()]
    models = {id(p.llm): p.llm for p in parts if isinstance(getattr(p, "llm", None), LanguageModel)}
    models |= {id(p): p for p in parts if isinstance(p, LanguageModel)}
    return [llm.tokenizer.backend_tokenizer.to_str() for llm in models.values()]


@pytest.fixture(scope="module")
def fitted(
    world_split: Split, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, tuple[Any, FitReport]]:
    """Methods as they are asked for, each fitted once."""

    class Lazy(dict[str, tuple[Any, FitReport]]):
        def __missing__(self, name: str) -> tuple[Any, FitReport]:
            self[name] = fit(name, world_split, tmp_path_factory.mktemp("cache"))
            return self[name]

    return Lazy()


def test_every_default_method_is_tested() -> None:
    assert set(DEFAULT) <= set(TINY)


@pytest.mark.parametrize("name", [name for name in DEFAULT if name != "popularity"])
def test_a_method_finds_the_planted_preference(
    name: str, fitted: Any, world_split: Split, world: Dataset
) -> None:
    blind = validation(fitted["popularity"][0], world_split, world)
    found = validation(fitted[name][0], world_split, world)
    assert found.intervals["recall@5"][0] > blind.intervals["recall@5"][1]


STAGES = {
    "user_encoder": ["encoder"],
    "text_prompt": ["language_model", "tune"],
    "user_llm": ["encoder", "language_model", "align", "tune"],
}


@pytest.mark.parametrize("name", list(STAGES))
def test_the_report_counts_every_stage(name: str, fitted: Any) -> None:
    report = fitted[name][1]
    assert [stage.name for stage in report.stages] == STAGES[name]
    assert all(stage.seconds > 0 and stage.steps > 0 for stage in report.stages)
    assert report.parameters >= report.trained_parameters > 0


def test_text_prompt_and_user_llm_learn_from_as_many_targets(fitted: Any) -> None:
    for name, asked in (("text_prompt", 16_000), ("user_llm", 10_000)):
        assert fitted[name][1].stages[-1].targets == pytest.approx(asked, rel=0.02)


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("user_llm_prior", {}),
    ("user_llm", {"encoder_targets": 0.5}),
    ("user_llm", {"strategy": "lora", "lora_rank": 2}),
    ("user_llm", {"strategy": "enc"}),
    ("user_llm", {"strategy": "proj", "projector": {"latents": 2}}),
    ("user_llm", {"fusion": {"kind": "soft_prompt"}}),
    ("user_llm", {"encoder": "dual_encoder"}),
    ("user_llm", {"encoder": "bert4rec", "projector": {"latents": 2}}),
    ("user_llm", {"encoder": "bert4rec", "fusion": {"kind": "soft_prompt"}}),
    ("user_llm_prior", {"encoder": "dual_encoder", "freeze_encoder": True}),
    ("user_llm", {"pretrained": False}),
    ("user_llm", {"recent_as_text": 2, "gradient_checkpointing": True}),
    ("user_llm", {"loss": "token"}),
    ("user_llm", {"decoding": "top_k"}),
    ("user_llm", {"decoding": "beam", "beams": 12}),
    ("user_llm_item_head", {}),
    ("user_llm_free", {"beams": 3}),
    ("text_prompt", {"strategy": "lora", "lora_rank": 2, "fields": ["rating"]}),
]


@pytest.mark.parametrize(("name", "changes"), VARIANTS)
def test_other_settings_train_and_rank(
    name: str, changes: dict[str, Any], world_split: Split, world: Dataset, tmp_path: Path
) -> None:
    short: dict[str, Any] = {
        "language_model": {**LANGUAGE, "epochs": 1},
        "align": {"steps": 3, "batch_size": 20},
        "tune": {"targets": 300, "windows": 8, "looks": 1},
    }
    if name == "text_prompt":
        short = {"language_model": short["language_model"], "targets": 300, "looks": 1}
    encoders = {n: {**s, "fit": {**FIT, "epochs": 1}} for n, s in ENCODER_SETTINGS.items()}
    method, report = fit(
        name, world_split, tmp_path, settings={**short, **changes}, encoders=encoders
    )
    found = validation(method, world_split, world)
    scored = changes.get("decoding", "exact") == "exact" and name != "user_llm_free"
    assert (found.examples["target_logprob"].null_count() == 0) == scored
    assert (STRAYS in found.metrics) == (name == "user_llm_free")
    frozen = changes.get("strategy", "full") != "full" or changes.get("freeze_encoder", False)
    assert (report.trained_parameters < report.parameters) == frozen


@pytest.mark.parametrize("name", DEFAULT)
def test_answers_do_not_depend_on_the_batch_size(
    name: str, fitted: Any, world_split: Split, world: Dataset
) -> None:
    many = validation(fitted[name][0], world_split, world).examples
    few = validation(fitted[name][0], world_split, world, batch_size=7).examples
    same = (many["target_rank"] == few["target_rank"]).mean()
    assert same is not None
    assert same > 0.98  # Rounding may swap two items of the same score.
    if many["target_logprob"].null_count() == 0:
        assert (many["target_logprob"] - few["target_logprob"]).abs().max() < 1e-3


@pytest.mark.parametrize("name", DEFAULT)
def test_nothing_fitted_changes_with_the_test_targets(
    name: str, fitted: Any, world: Dataset, tmp_path: Path
) -> None:
    expected = fitted[name][0].state()
    other, _ = fit(name, split_last(randomise_tests(world)), tmp_path)
    state = other.state()
    assert state.keys() == expected.keys()
    assert expected
    for key, value in expected.items():
        assert torch.equal(value, state[key]), key
    for mine, theirs in zip(tokenizers(fitted[name][0]), tokenizers(other), strict=True):
        assert mine == theirs


@pytest.mark.parametrize("name", ["sasrec", "user_llm"])
def test_another_seed_gives_other_weights(
    name: str, fitted: Any, world_split: Split, tmp_path: Path
) -> None:
    other, _ = fit(name, world_split, tmp_path, seed=1)
    assert any(
        not torch.equal(value, other.state()[key]) for key, value in fitted[name][0].state().items()
    )


def test_methods_with_a_language_model_hold_one_tokenizer(fitted: Any) -> None:
    assert [len(tokenizers(fitted[name][0])) for name in ("text_prompt", "user_llm")] == [1, 1]
    assert tokenizers(fitted["text_prompt"][0]) == tokenizers(fitted["user_llm"][0])


def test_no_text_of_a_held_out_event_reaches_the_language_model(
    world: Dataset, world_split: Split
) -> None:
    changed = split_last(randomise_tests(world)).train
    train = world_split.train
    assert corpus(changed.catalog, changed.events) == corpus(train.catalog, train.events)
    assert train.events.written
    assert not any("secret" in line for line in corpus(changed.catalog, changed.events))


MEASURED = CostSettings(users=3, seconds=0.01, repetitions=1, batch_sizes=(2,))


@pytest.mark.parametrize("name", DEFAULT)
def test_the_cost_of_an_answer_is_told_part_by_part(
    name: str, fitted: Any, world_split: Split
) -> None:
    method = fitted[name][0]
    before = {key: value.clone() for key, value in method.state().items()}
    drawn = torch.get_rng_state()
    cost = answer_cost(
        method, NextItem(NextItemSettings()).asking(world_split, "include", "test"), MEASURED
    )
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(value, method.state()[key]) for key, value in before.items())
    parts = (cost.user_encoder_flops, cost.projector_flops, cost.llm_prompt_flops,
             cost.decode_flops, cost.ranking_flops)  # fmt: skip
    assert cost.answer_flops == pytest.approx(sum(part or 0 for part in parts))
    assert (cost.user_encoder_flops or 0) > 0 or name in ("popularity", "text_prompt")
    llm = name in ("user_llm", "text_prompt")
    assert (cost.llm_input_tokens is not None) == llm
    assert (cost.kv_cache_bytes is not None) == llm
    assert ((cost.llm_prompt_flops or 0) > 0) == llm
    assert cost.latency_runs == MEASURED.users
    assert cost.latency_seconds is not None
    assert cost.throughput_per_second is not None


def test_a_fixed_query_costs_the_same_tokens_whatever_the_history(
    fitted: Any, world_split: Split
) -> None:
    asking = NextItem(NextItemSettings()).asking(world_split, "include", "test")
    tokens = {}
    for name in ("user_llm", "text_prompt"):
        method = fitted[name][0]
        histories = asking.histories(method, np.arange(len(asking.examples)))
        tokens[name] = method.prompt_tokens(histories, NextItemGoal())
        assert not any(tokens[name].dropped)
    assert len(set(tokens["user_llm"].tokens)) == 1
    assert len(set(tokens["text_prompt"].tokens)) > 1
