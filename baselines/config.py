"""Settings of the baselines, free of torch so that the command line can read them.

Each field's description is its help text.
"""

from __future__ import annotations

from pydantic import Field

from userllm.config import (
    FitSettings,
    LabelHeadSettings,
    OptimizerSettings,
    Settings,
    TransformerSettings,
)

Option = bool | int | float | str | list[int] | list[float] | list[str] | None
"""A value of one of RecBole's own settings."""


class PopularitySettings(Settings):
    """The most frequent items, the same for everybody."""

    smoothing: float = Field(
        1.0, gt=0, description="added to every count, so that unseen items have a probability"
    )


class GenreCounterSettings(Settings):
    """The labels that stand most often in the history."""

    history: int = Field(
        10_000, ge=1, description="latest events that are counted; a task may show fewer"
    )


class EncoderSettings(Settings):
    """What every baseline has whose model turns histories into states."""

    transformer: TransformerSettings = TransformerSettings()
    fit: FitSettings = FitSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    label: LabelHeadSettings = LabelHeadSettings()


class SasRecSettings(EncoderSettings):
    """Causal transformer over item ids alone, full cross-entropy at every position."""


class DualEncoderSettings(EncoderSettings):
    """User tower and item tower, in-batch softmax with log-frequency correction."""

    features: tuple[str, ...] | None = Field(
        None,
        description="item features that the towers see beside the id; all where absent",
        json_schema_extra={"of_items": True},
    )
    negatives: int = Field(
        512, ge=1, description="targets of the batch that every row is compared with"
    )
    temperature: float = Field(0.1, gt=0, description="divides the cosine of user and item")


class Bert4RecSettings(EncoderSettings):
    """RecBole's BERT4Rec module, trained on windows with the loss at masked positions."""

    masked: float = Field(0.3, gt=0, lt=1, description="share of a window's items that is masked")
    last_only: float = Field(
        0.0, ge=0, le=1, description="share of windows where only the last item is masked"
    )


class RecBoleSettings(Settings):
    """Any sequential model of RecBole, trained on sampled pairs of history and next item."""

    model: str = Field("SASRec", description="RecBole's name of the model")
    fit: FitSettings = FitSettings(batch_size=256, epochs=5)
    optimizer: OptimizerSettings = OptimizerSettings(weight_decay=0.0)
    options: dict[str, Option] = Field(
        default_factory=dict, description="RecBole's own settings of the model, by their names"
    )
