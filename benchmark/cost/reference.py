"""The reference design, whose cost is counted where nothing else is asked for. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from benchmark.config import Layers
from benchmark.settings import build, merge, parse_yaml

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


def reference_layers(
    layers: Layers, *, llm_layers: int | None = None, widths: Sequence[int] = ()
) -> Layers:
    """The layers with the reference design in the place of a preset: lowest of all.

    A language model of fewer layers than the design leaves between two cross-attentions gets one
    before its first, and heads are as many as divide its widths.

    Args:
        layers: What file and `--set` give.
        llm_layers: Decoder layers of the language model; None = enough.
        widths: Of the language model: what heads must divide.
    """
    settings = reference().settings
    fusion = settings["user_llm"]["fusion"]
    every, heads = fusion["every"], math.gcd(fusion["heads"], *widths)
    every = every if llm_layers is None else min(every, llm_layers)
    fitted = {"user_llm": {"fusion": {"every": every, "heads": heads}}}
    return replace(layers, preset=merge(settings, fitted))
