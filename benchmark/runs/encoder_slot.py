"""The encoder slot: the harness builds what stands in it and hands it to the method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel

from benchmark.config import Layers
from benchmark.protocols import BuiltEncoder, EncoderBuilder, FitContext, TrainingData
from benchmark.tables import Tables, why_unavailable


@dataclass(frozen=True)
class ChosenEncoder:
    """What stands in the encoder slot of a cell.

    Attributes:
        name: As the registry calls it.
        settings: What it is built from.
        changes: What the user set of it, dotted name → value.
        pretrained: Whether it is trained before the method is.
        builder: Imports what builds it, which may take seconds.
    """

    name: str
    settings: BaseModel
    changes: dict[str, Any]
    pretrained: bool
    builder: Callable[[], EncoderBuilder]

    def build(
        self, data: TrainingData, context: FitContext, *, trained: bool = True
    ) -> BuiltEncoder:
        """Builds it; untrained where it is to receive weights from elsewhere."""
        return self.builder()(data, self.settings, context, self.pretrained and trained)


def choose_encoder(
    method: str, settings: BaseModel, tables: Tables, layers: Layers
) -> ChosenEncoder | None:
    """What stands in the encoder slot of a method; None where it has no such slot."""
    name = layers.encoder(tables, method)
    if name is None:
        return None
    entry = tables.encoders[name]
    return ChosenEncoder(
        name=name,
        settings=layers.resolve(tables, name),
        changes=layers.changes(tables, name),
        pretrained=bool(getattr(settings, "pretrained")),  # noqa: B009
        builder=lambda: cast("EncoderBuilder", entry.load()),
    )


def missing_encoder(encoder: ChosenEncoder | None, tables: Tables) -> str:
    """Why an encoder cannot be built here, "" where it can or where there is none."""
    if encoder is None:
        return ""
    reason = why_unavailable(tables.encoders[encoder.name])
    return f"the encoder {encoder.name} {reason}" if reason else ""
