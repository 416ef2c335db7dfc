"""Settings of the text prompt, free of torch so that the command line can read them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from userllm.config import QUERY, LanguageModelSettings, OptimizerSettings, Settings


class TextPromptSettings(Settings):
    """The last items as text, read by the same language model as USER-LLM's."""

    items: int = Field(10, ge=0, description="most recent items in the prompt; 0 = no history")
    fields: tuple[str, ...] | None = Field(
        None,
        description="features written behind a title; all but derived ones (gap) where absent. "
        "What the title says already (its year) is not written again",
    )
    query: str = Field(QUERY, description="text before each title, and at the end of the prompt")
    language_model: LanguageModelSettings = LanguageModelSettings()
    targets: int = Field(250_000, ge=1, description="next_item: supervised targets in all")
    batch_targets: int = Field(
        240,
        ge=1,
        description="next_item: targets in a batch, about: windows of `items` titles that hold "
        "them, at least one, so that longer prompts take as many steps",
    )
    examples: int = Field(
        24_000,
        ge=1,
        description="labels and texts: supervised examples in all, as many as user_llm's",
    )
    batch_size: int = Field(32, ge=1, description="labels and texts: examples in a batch")
    together: int = Field(
        8, ge=1, description="texts: most reviews of a user learnt behind one history"
    )
    longest: int = Field(
        384,
        ge=16,
        description="labels and texts: most tokens before what is asked for; the oldest events are "
        "left out first",
    )
    review_tokens: int = Field(
        64, ge=0, description="texts: most tokens of each earlier review in the prompt"
    )
    looks: int = Field(5, ge=0, description="how often to look at validation; 0 = never")
    patience: int = Field(
        0, ge=0, description="looks without a better validation value before stopping; 0 = never"
    )
    optimizer: OptimizerSettings = OptimizerSettings()
    strategy: Literal["full", "lora"] = Field(
        "full", description="full: the model trains; lora: LoRA matrices"
    )
    lora_rank: int = Field(8, ge=1, description="rank of the LoRA matrices")
