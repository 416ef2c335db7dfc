"""The reference design, whose cost is counted where nothing else is asked for. Free of torch."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from benchmark.config import Layers
from benchmark.settings import build, parse_yaml

_FILE = Path(__file__).parents[1] / "configs" / "costs" / "reference.yaml"


class Reference(BaseModel):
    """What `reference.yaml` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str
    query_tokens: int = Field(ge=1)
    settings: dict[str, dict[str, Any]]


@cache
def reference() -> Reference:
    """The reference design."""
    return build(Reference, parse_yaml(_FILE.read_text(encoding="utf-8"), str(_FILE)), _FILE.name)


def reference_layers(layers: Layers) -> Layers:
    """The layers with the reference design in the place of a preset: lowest of all."""
    return replace(layers, preset=reference().settings)
