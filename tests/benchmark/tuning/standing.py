"""Tables of fakes that can be tuned, with one that has another in its encoder slot."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from benchmark.entries import EncoderEntry, MethodEntry
from benchmark.protocols import BuiltEncoder
from benchmark.registry import Registry
from benchmark.tables import Tables
from tests import fake_encoders
from tests.benchmark.tuning.learner import NoisySettings, noisy_tables

STAGE_SECONDS = 3.0
"""What making the encoder took, as its stage says."""


class EncoderSettings(NoisySettings):
    width: int = Field(4, ge=1, description="width")


def build(data, settings, context, pretrained=True):
    """An encoder that comes from a cache where it is told so by `flag`."""
    built = fake_encoders.build(data, settings, context, pretrained)
    stages = [replace(own, seconds=STAGE_SECONDS, reused=settings.flag) for own in built.stages]
    return BuiltEncoder(built.module, tuple(stages))


def standing_tables(folder) -> Tables:
    """`taker` stands on `small`, which is a method too."""
    rates = {"rate": {"low": 1e-4, "high": 0.1, "log": True}}
    tables = noisy_tables(folder, small=rates, taker=rates)
    ranks = {"capabilities": ("CandidateRanker",)}
    here = "tests.benchmark.tuning.standing"
    tables.methods.add(
        "small",
        MethodEntry(
            "tests.benchmark.tuning.learner:Noisy",
            "the encoder alone",
            settings=f"{here}:EncoderSettings",
            **ranks,
        ),
    )
    tables.methods.add(
        "taker",
        MethodEntry(
            "tests.fake_encoders:Taker",
            "takes an encoder",
            settings="tests.fake_encoders:TakerSettings",
            uses_encoder=True,
            **ranks,
        ),
    )
    encoders: Registry[EncoderEntry] = Registry("encoder")
    encoders.add(
        "small", EncoderEntry(f"{here}:build", "an encoder", settings=f"{here}:EncoderSettings")
    )
    return replace(tables, encoders=encoders)
