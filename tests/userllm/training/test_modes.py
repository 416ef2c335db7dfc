"""How modules stand: what learns and what is asked."""

from __future__ import annotations

import pytest
from torch import nn

from userllm.llm.language_model import LanguageModel
from userllm.training.modes import by_options_alone, evaluating, train_mode


@pytest.fixture
def parts() -> nn.ModuleDict:
    frozen = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).requires_grad_(False)
    return nn.ModuleDict({"frozen": frozen, "learning": nn.Sequential(nn.Linear(4, 1))}).eval()


def modes(parts: nn.ModuleDict) -> list[bool]:
    return [part.training for part in parts.modules()]


def test_frozen_parts_stay_in_evaluation_mode(parts: nn.ModuleDict) -> None:
    train_mode(parts)
    assert parts.training
    assert parts["learning"][0].training
    assert not parts["frozen"][1].training


def test_who_is_asked_stands_as_before_afterwards(parts: nn.ModuleDict) -> None:
    train_mode(parts)
    before = modes(parts)
    with evaluating(parts):
        assert not any(modes(parts))
    assert modes(parts) == before


def test_a_checkpoint_has_no_say_while_options_alone_count(llm: LanguageModel) -> None:
    own = llm.model.generation_config
    own.suppress_tokens = [5]
    with by_options_alone(llm):
        assert llm.model.generation_config.suppress_tokens is None
    assert llm.model.generation_config is own
