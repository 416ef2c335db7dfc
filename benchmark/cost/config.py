"""Settings of what is measured of an answer's cost. They change no other number of a record."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

SECTION = "cost"
"""The name that these settings are given under."""


class CostSettings(BaseModel):
    """How the cost of an answer is measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    users: int = Field(
        16, ge=0, description="users whose answers are metered and timed; 0 = nothing is measured"
    )
    seconds: float = Field(
        8.0, gt=0, description="time for latency and throughput; what was begun is finished"
    )
    repetitions: int = Field(3, ge=1, description="rounds of timing at most")
    batch_sizes: tuple[int, ...] = Field(
        (8, 32), description="batches beside that of one user whose throughput is tried"
    )
