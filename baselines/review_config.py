"""Settings of the baselines that write reviews without a model, free of torch."""

from __future__ import annotations

from pydantic import Field

from userllm.config import Settings


class CommonSentenceSettings(Settings):
    """The item's most common review sentence."""


class PreviousReviewSettings(Settings):
    """The user's previous review."""

    history: int = Field(
        200, ge=1, description="latest events of a history among which a review is looked for"
    )
