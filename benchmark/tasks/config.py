"""Settings of the tasks."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TaskSettings(BaseModel):
    """What every task has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(128, ge=1, description="Users asked at a time.")
    bootstrap_samples: int = Field(
        2000, ge=100, le=1_000_000, description="Resamples behind the 95% interval of a metric."
    )
    bootstrap_seed: int = Field(0, ge=0, description="Seed of the resampling.")
    validation_users: int = Field(
        0, ge=0, description="Validation users looked at while training; 0 = all."
    )
    users: int = Field(0, ge=0, description="Users asked of the part that is scored; 0 = all.")


class NextItemSettings(TaskSettings):
    """Settings of `next_item`."""

    k: int = Field(10, ge=10, description="Items of each ranking that are kept.")


class FavoriteGenreSettings(TaskSettings):
    """Settings of `favorite_genre`."""

    label: Literal["future", "window"] = Field(
        "future",
        description="the most frequent label of the events that are held out, or, as in the "
        "study, of the history's own window (which a counter answers perfectly)",
    )
    horizon: int = Field(10, ge=1, description="events of a user that are held out")
    window: int = Field(50, ge=1, description="latest events of a history that anybody reads")
    positions: int = Field(16, ge=1, description="training examples drawn from each user")


class ReviewGenerationSettings(TaskSettings):
    """Settings of `review_generation`."""

    batch_size: int = Field(64, ge=1, description="Users asked at a time.")
    validation_users: int = Field(
        100, ge=0, description="Validation users looked at while training; 0 = all."
    )
    field: Literal["text", "summary"] = Field("text", description="what is to be written")
    decoding: Literal["greedy", "sample"] = Field(
        "greedy", description="the likeliest token, or one drawn from the likeliest"
    )
    longest: int = Field(
        40, ge=1, description="most words of a text; a language model has two tokens for each"
    )
    temperature: float = Field(0.8, gt=0, description="divides the logits where tokens are drawn")
    top_p: float = Field(0.95, gt=0, le=1, description="probability of the tokens drawn from")
    seed: int = Field(0, ge=0, description="seed of drawing")
