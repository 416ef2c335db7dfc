"""Settings of USER-LLM and of training, free of torch so that the command line can read them.

Each field's description is its help text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from userllm.given_settings import completed, refused

QUERY = "Next:"
"""What asks for a title: the fixed query of USER-LLM, and before each title of a text prompt."""


class Settings(BaseModel):
    """Base of all settings: unknown fields are errors, values do not change after checking.

    Made by its name, a nested part may be a mapping of what is to differ from the default, and what
    is wrong is a `UserError` of one line. `model_validate` and the like are pydantic's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    if not TYPE_CHECKING:  # type checkers know the fields

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**completed(type(self), values))
            except ValidationError as error:
                raise refused(type(self), error) from None

        # What reads files and settings of the command line validates by pydantic, past `__init__`.
        __init__.__pydantic_base_init__ = True


class OptimizerSettings(Settings):
    """AdamW with a linear warm-up and a cosine decay to zero."""

    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(0.01, ge=0, description="decoupled weight decay of all but vectors")
    warmup: float = Field(0.05, ge=0, le=1, description="share of the steps spent warming up")
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    accumulate: int = Field(1, ge=1, description="batches a step; their gradients are averaged")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="of activations; auto = bf16 on a GPU that has it, else fp32"
    )


class TransformerSettings(Settings):
    """A small transformer over events."""

    width: int = Field(64, ge=1, description="width of a state (D)")
    layers: int = Field(2, ge=1, description="number of blocks")
    heads: int = Field(2, ge=1, description="attention heads")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout share")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> TransformerSettings:
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads} must divide width={self.width}")
        return self


class FitSettings(Settings):
    """How long a stage trains and on what."""

    history: int = Field(50, ge=1, description="most events of a history (L)")
    batch_size: int = Field(128, ge=1, description="windows in a batch")
    epochs: float = Field(60, gt=0, description="passes over the training windows at most")
    targets: int | None = Field(
        None, ge=1, description="supervised targets at most, so that large data cost no more"
    )
    patience: int = Field(
        0, ge=0, description="looks without a better validation value before stopping; 0 = never"
    )
    looks: int = Field(10, ge=0, description="how often to look at validation; 0 = never")

    def steps(self, steps_per_epoch: float, targets_per_step: float) -> int:
        """Optimizer steps that passes and targets allow, at least one."""
        allowed = self.epochs * steps_per_epoch
        if self.targets is not None:
            allowed = min(allowed, self.targets / targets_per_step)
        return max(1, round(allowed))


class LanguageModelSettings(Settings):
    """The embedded language model: a small Llama built and trained on the data set's own text."""

    width: int = Field(128, ge=8, description="width of a state (E)")
    layers: int = Field(2, ge=1, description="decoder layers")
    heads: int = Field(4, ge=1, description="attention heads")
    vocabulary: int = Field(8000, ge=300, description="most tokens of the byte-level BPE")
    epochs: float = Field(12, gt=0, description="passes over the text")
    max_tokens: int = Field(
        100_000,
        ge=1,
        description="tokens of a pass; of more text, a pass holds what is said of items and "
        "another part of what users wrote each time",
    )
    batch_size: int = Field(64, ge=1, description="lines in a batch")
    optimizer: OptimizerSettings = OptimizerSettings(learning_rate=3e-3)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> LanguageModelSettings:
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads} must divide width={self.width}")
        return self


class ItemTextSettings(Settings):
    """What the user encoder makes of items' text, where it reads it."""

    id_dropout: float = Field(
        0.2, ge=0, le=1, description="share of the items that a training step shows by text alone"
    )
    components: int = Field(
        256, ge=1, description="wider vectors are cut to so many principal components"
    )
    language_model: LanguageModelSettings = LanguageModelSettings()


class LabelHeadSettings(Settings):
    """A linear head that says labels: first on the frozen encoder, then together with it."""

    examples: int = Field(200_000, ge=1, description="training examples at most, drawn evenly")
    batch_size: int = Field(128, ge=1, description="examples in a batch")
    steps: int = Field(
        600, ge=1, description="optimizer steps with the encoder frozen, which cost little"
    )
    epochs: float = Field(
        5, ge=0, description="passes in which the encoder learns too; 0 = it stays frozen"
    )
    looks: int = Field(5, ge=0, description="how often either part looks at validation; 0 = never")
    patience: int = Field(
        0, ge=0, description="looks without a better validation value before stopping; 0 = never"
    )
    frozen: OptimizerSettings = OptimizerSettings(learning_rate=5e-3)
    optimizer: OptimizerSettings = OptimizerSettings()


class UserEncoderSettings(Settings):
    """The autoregressive user encoder and its pretraining."""

    features: tuple[str, ...] | None = Field(
        None,
        description="features beside the item that the encoder sees; all but derived ones (gap) "
        "where absent",
    )
    transformer: TransformerSettings = TransformerSettings()
    fit: FitSettings = FitSettings(batch_size=64, epochs=40)
    optimizer: OptimizerSettings = OptimizerSettings(learning_rate=2e-3)
    auxiliary: float = Field(
        0.03, ge=0, description="weight of the losses of features other than the item"
    )
    item_text: bool = Field(
        False,
        description="know items by their text too, embedded by the language model and frozen: "
        "what no training event names is within reach",
    )
    text: ItemTextSettings = ItemTextSettings()
    label: LabelHeadSettings = LabelHeadSettings()


class ProjectorSettings(Settings):
    """From user states to what the language model reads."""

    latents: int = Field(
        0, ge=0, description="latents of the Perceiver (Q); 0 = one vector an event"
    )
    depth: int = Field(1, ge=1, description="Perceiver blocks")


class FusionSettings(Settings):
    """How user states enter the language model."""

    kind: Literal["cross_attention", "soft_prompt"] = Field(
        "cross_attention", description="gated cross-attention, or vectors before the prompt"
    )
    every: int = Field(1, ge=1, description="cross-attend before every n-th decoder layer")
    heads: int = Field(4, ge=1, description="heads of the cross-attention")
    feed_forward: bool = Field(
        True,
        description="whether each gated cross-attention block has a feed-forward of its own",
    )


class AlignSettings(Settings):
    """First stage: say an item's title from that item's own embedding."""

    steps: int = Field(600, ge=0, description="optimizer steps; 0 = leave the stage out")
    batch_size: int = Field(128, ge=1, description="items in a batch")
    noise: float = Field(0.2, ge=0, description="standard deviation of noise on the embedding")
    distractors: int = Field(4, ge=0, description="other items' embeddings put before the item's")
    alone: float = Field(0.5, ge=0, le=1, description="share of the steps without distractors")
    optimizer: OptimizerSettings = OptimizerSettings(learning_rate=3e-3)


class TuneSettings(Settings):
    """Second stage: say what is asked for (next items, labels, texts) from the history."""

    targets: int = Field(250_000, ge=1, description="supervised targets in all, of next items")
    examples: int = Field(
        24_000, ge=1, description="examples in all, with repetition, of each other goal"
    )
    batch_size: int = Field(32, ge=1, description="examples of other goals in a batch")
    windows: int = Field(32, ge=1, description="windows in a batch")
    targets_per_window: int = Field(8, ge=1, description="random positions of a window to learn")
    looks: int = Field(5, ge=0, description="how often to look at validation; 0 = never")
    patience: int = Field(
        0, ge=0, description="looks without a better validation value before stopping; 0 = never"
    )
    optimizer: OptimizerSettings = OptimizerSettings()


class UserLLMSettings(Settings):
    """USER-LLM: encoder, projector, fusion and language model."""

    encoder: str = Field(
        "user_encoder",
        description="what turns histories into states; its settings are those of the same name",
    )
    pretrained: bool = Field(True, description="pretrain the encoder; false = from random weights")
    projector: ProjectorSettings = ProjectorSettings()
    fusion: FusionSettings = FusionSettings()
    language_model: LanguageModelSettings = LanguageModelSettings()
    align: AlignSettings = AlignSettings()
    tune: TuneSettings = TuneSettings()
    strategy: Literal["full", "lora", "enc", "proj"] = Field(
        "full",
        description="what trains: everything; LoRA, encoder and fusion; encoder and fusion; "
        "projector and fusion",
    )
    freeze_encoder: bool = Field(False, description="the encoder stays fixed under any strategy")
    lora_rank: int = Field(8, ge=1, description="rank of the LoRA matrices")
    query: str = Field(QUERY, description="the fixed text that the language model reads")
    recent_as_text: int = Field(
        0, ge=0, description="most recent items also written as text before the query"
    )
    recent_fields: tuple[str, ...] | None = Field(
        None,
        description="features written behind each of them, whatever the encoder reads; all but "
        "derived ones where absent",
    )
    loss: Literal["trie", "token", "item_head"] = Field(
        "trie",
        description="likelihood of the title over the catalogue's trie; plain token "
        "cross-entropy; item softmax on the language model's last state",
    )
    decoding: Literal["exact", "top_k", "beam", "free"] = Field(
        "exact",
        description="every title's likelihood; best-first search for the first k; beam over the "
        "trie; unconstrained beam matched to titles",
    )
    beams: int = Field(10, ge=1, description="beams of the decodings beam and free")
    gradient_checkpointing: bool = Field(
        False, description="compute the language model's activations again in the backward pass"
    )
    encoder_targets: float = Field(
        0.0, ge=0, le=1, description="share of targets sampled from the encoder (beyond the study)"
    )
    encoder_prior: bool = Field(
        False, description="add the encoder's log-probability at each trie node (beyond the study)"
    )
    shuffle_titles: bool = Field(
        False, description="give every item another item's title: what does language contribute?"
    )
    held_out: float = Field(
        0.0, ge=0, lt=1, description="share of items whose text no training says, for perplexity"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> UserLLMSettings:
        if self.encoder_prior and (self.loss, self.decoding) not in (
            ("trie", "exact"), ("trie", "top_k"), ("trie", "beam"),
        ):  # fmt: skip
            raise ValueError("encoder_prior needs loss=trie and a decoding over the trie")
        if self.loss == "item_head" and self.decoding != "exact":
            raise ValueError("loss=item_head scores every item: decoding=exact is all it has")
        return self
