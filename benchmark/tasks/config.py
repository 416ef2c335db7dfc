"""Settings of the tasks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class NextItemSettings(BaseModel):
    """Settings of `next_item`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    k: int = Field(10, ge=10, description="Items of each ranking that are kept.")
    batch_size: int = Field(128, ge=1, description="Users ranked at a time.")
    bootstrap_samples: int = Field(
        2000, ge=100, description="Resamples behind the 95% interval of a metric."
    )
    bootstrap_seed: int = Field(0, ge=0, description="Seed of the resampling.")
    validation_users: int = Field(
        0, ge=0, description="Validation users looked at while training; 0 = all."
    )
