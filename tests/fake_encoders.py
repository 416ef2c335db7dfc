"""A fake method with an encoder slot and two fake encoders, one of which is not installed."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from benchmark.entries import EncoderEntry, MethodEntry
from benchmark.protocols import BuiltEncoder
from benchmark.registry import Registry
from benchmark.tables import Tables
from benchmark.types import FitReport, StageReport
from tests.fakes import Fake, FakeSettings, make_tables


class TakerSettings(FakeSettings):
    encoder: str = Field("small", description="what stands in the slot")
    pretrained: bool = Field(True, description="whether it is trained")


class EncoderSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: float = Field(3, gt=0, description="passes")
    width: int = Field(4, ge=1, description="width")


class Taker(Fake):
    """Says in its notes which encoder it was given."""

    def fit(self, data, context):
        built = context.encoder
        report = super().fit(data, context)
        notes = (f"width {built.module.in_features}", f"weight {built.module.weight.sum():.6f}")
        return FitReport((*built.stages, *report.stages), 12, 12, notes=notes)


def build(data, settings, context, pretrained=True):
    """An encoder whose weights follow from the seed; it draws more numbers where it is trained."""
    torch.manual_seed(context.seed)
    module = nn.Linear(settings.width, 1, bias=False)
    if not pretrained:
        return BuiltEncoder(module)
    torch.rand(5)
    with torch.no_grad():
        module.weight.mul_(2)
    stage = StageReport("encoder", seconds=0.1, steps=4, epochs=settings.epochs, targets=9)
    return BuiltEncoder(module, (stage,))


def slot_tables() -> Tables:
    """The fakes, with a method that takes an encoder."""
    tables = make_tables()
    for name, facts in (("taker", {}), ("wide", {"overrides": {"encoder": "large"}})):
        tables.methods.add(
            name,
            MethodEntry(
                "tests.fake_encoders:Taker",
                "takes an encoder",
                settings="tests.fake_encoders:TakerSettings",
                section="taker",
                capabilities=("CandidateRanker",),
                uses_encoder=True,
                **facts,
            ),
        )
    encoders: Registry[EncoderEntry] = Registry("encoder")
    for name, requires in (("small", ()), ("large", ()), ("gone", ("no_such_module",))):
        encoders.add(
            name,
            EncoderEntry(
                "tests.fake_encoders:build",
                f"a {name} encoder",
                settings="tests.fake_encoders:EncoderSettings",
                requires=requires,
                install="get it",
            ),
        )
    return replace(tables, encoders=encoders)
