"""Checkpoints of every family, each written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.userllm.families.checkpoints import FAMILIES, load, save_checkpoint
from userllm.llm.language_model import LanguageModel


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of each family's checkpoint. Do not write there: all tests share it."""
    folder = tmp_path_factory.mktemp("families")
    return {family: save_checkpoint(family, folder / family) for family in FAMILIES}


@pytest.fixture(params=list(FAMILIES))
def family_llm(request: pytest.FixtureRequest, checkpoints: dict[str, Path]) -> LanguageModel:
    """A fresh language model of each family."""
    return load(checkpoints[request.param])
