"""Settings of the splits, free of torch."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SplitSettings(BaseModel):
    """A split without settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GlobalTimeSettings(SplitSettings):
    """Settings of `global_time`; a date is the beginning of its day in UTC."""

    validation_from: date | None = Field(
        None, description="first day of the validation targets; by its share where absent"
    )
    test_from: date | None = Field(
        None, description="first day of the test targets; by its share where absent"
    )
    validation_share: float = Field(
        0.1, gt=0, lt=0.5, description="share of all events between validation_from and test_from"
    )
    test_share: float = Field(
        0.1, gt=0, lt=0.5, description="share of all events from test_from on"
    )

    @model_validator(mode="after")
    def _in_order(self) -> GlobalTimeSettings:
        begin, end = self.validation_from, self.test_from
        if begin is not None and end is not None and begin >= end:
            raise ValueError("validation_from must be before test_from")
        return self


class ColdItemsSettings(SplitSettings):
    """Settings of `cold_items`."""

    share: float = Field(0.05, gt=0, lt=1, description="share of the items that are cold")
    seed: int = Field(0, ge=0, description="seed of their choice")
