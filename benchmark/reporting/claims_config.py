"""What the study claims, as a file says it. Free of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark.settings import build, parse_yaml

CLAIMS = Path(__file__).parent.parent / "configs" / "claims.yaml"
Test = Literal[
    "baselines",
    "text_prompts",
    "at_every_length",
    "longest_over_shortest",
    "advantage_by_length",
    "tokens_by_length",
    "arithmetic_by_length",
    "ablation",
]
Expected = Literal["better", "worse", "not_worse"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Statement(_Part):
    """One claim."""

    statement: str = Field(description="what is claimed, {studied} being the method")
    test: Test = Field(description="what is looked at")
    expect: Expected = Field("better", description="which verdict on the first confirms it")
    task: str = Field("", description="of which task; all if absent")
    of: Literal["studied", "text_prompts"] = Field("studied", description="whose lengths")
    arithmetic: Literal["prompt_flops", "answer_flops"] = Field(
        "prompt_flops", description="which number of `Cost`: to read a question, or of all of it"
    )
    axis: str = Field("", description="of an ablation")
    values: tuple[str, ...] = Field((), description="of the axis, each against the default")


class Study(_Part):
    """All of them."""

    source: str = Field(description="where they stand")
    datasets: dict[str, tuple[str, ...]] = Field(description="its data → names here, with *")
    claims: dict[str, Statement] = Field(description="by name")


def read_study(path: Path = CLAIMS) -> Study:
    """Reads the claims.

    Raises:
        UserError: The file is broken.
    """
    return build(Study, parse_yaml(path.read_text(encoding="utf-8"), str(path)), str(path))
