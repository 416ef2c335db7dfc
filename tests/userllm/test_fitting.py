"""Alignment and tuning together change what the strategy promises, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.events import EventLog
from benchmark.schema import ITEM, FeatureSchema
from tests.tiny_model import make_catalog
from userllm.config import UserLLMSettings
from userllm.encoder.user_encoder import UserEncoder
from userllm.fitting import Fitting, fit
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM
from userllm.progress import Silent

MOVES = {
    "full": {"llm", "encoder", "bridge"},
    "lora": {"lora", "encoder", "bridge"},
    "enc": {"encoder", "bridge"},
    "proj": {"bridge"},
}


def make_log(schema: FeatureSchema) -> EventLog:
    rng = np.random.default_rng(0)
    lengths = np.array([7, 5, 9, 4])
    columns = {name: rng.integers(1, 6, lengths.sum()) for name in (ITEM, "rating")}
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return EventLog(schema, indptr, columns, make_catalog().columns, np.arange(lengths.sum()))


def part_of(name: str) -> str:
    if ".lora_" in name:
        return "lora"
    head = name.split(".")[0]
    return head if head in ("llm", "encoder") else "bridge"


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Parts of which a weight is no longer the same, bit for bit; peft renames what it wraps."""
    found = set()
    for name, value in after.items():
        old = before.get(name, before.get(name.replace(".base_layer", "")))
        if old is None or not torch.equal(old, value):
            found.add(part_of(name))
    return found


@pytest.mark.parametrize("strategy", list(MOVES))
@pytest.mark.parametrize(
    "changes", [{}, {"fusion": {"kind": "soft_prompt", "heads": 2}, "projector": {"latents": 2}}]
)
def test_fitting_moves_what_the_strategy_promises(
    strategy: str,
    changes: dict[str, object],
    encoder: UserEncoder,
    llm: LanguageModel,
    schema: FeatureSchema,
) -> None:
    fields = {
        "fusion": {"heads": 2},
        "strategy": strategy,
        "lora_rank": 2,
        "align": {"steps": 3, "batch_size": 4},
        "tune": {"targets": 60, "windows": 4, "targets_per_window": 3, "looks": 0},
        **changes,
    }
    model = UserLLM(encoder, llm, UserLLMSettings.model_validate(fields), make_catalog())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stages = fit(model, make_log(schema), Fitting(0, Silent()))
    assert [stage.name for stage in stages] == ["align", "tune"]
    assert changed(before, dict(model.state_dict())) == MOVES[strategy]
    trained = {part_of(name) for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained == MOVES[strategy]


def test_a_frozen_encoder_stays_as_it_is_under_full(
    encoder: UserEncoder, llm: LanguageModel, schema: FeatureSchema
) -> None:
    fields = {
        "fusion": {"heads": 2},
        "freeze_encoder": True,
        "align": {"steps": 0},
        "tune": {"targets": 40, "windows": 4, "targets_per_window": 3, "looks": 0},
    }
    model = UserLLM(encoder, llm, UserLLMSettings.model_validate(fields), make_catalog())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit(model, make_log(schema), Fitting(0, Silent()))
    assert changed(before, dict(model.state_dict())) == {"llm", "bridge"}
