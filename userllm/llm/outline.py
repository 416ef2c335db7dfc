"""A language model without weights, on the device `meta`: its tokens, its shapes, what it reads."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.outlines import Work
from userllm.fusion import CrossAttentionFusion, UserContext
from userllm.llm.counted_attention import Seen, reading
from userllm.llm.language_model import LanguageModel
from userllm.llm.masks import layer_windows

_BYTES = 2
"""Of a number in bf16."""


class LlmOutline(LanguageModel):
    """A language model that can tell what it would read and compute.

    Args:
        model: A Hugging Face causal model on the device `meta`, with counted attention.
        tokenizer: What tokens are counted by.
        identity: What it is called.

    Raises:
        UserError: It attends in a way that cannot be counted, or is no causal model.
    """

    def __init__(self, model: Any, tokenizer: Any, identity: str) -> None:
        super().__init__(model, tokenizer, identity)
        self._tokens: dict[tuple[str, bool], list[int]] = {}
        self._shortened: dict[tuple[int, ...], _Distinct] = {}
        self.seen = self._probe()

    def encode(self, text: str, *, begin: bool = False) -> list[int]:
        """See `LanguageModel`; a text is looked at once."""
        key = text, begin
        if key not in self._tokens:
            try:
                self._tokens[key] = super().encode(text, begin=begin)
            except UserError as error:
                raise UserError(
                    f"{self.identity} has {self.model.config.get_text_config().vocab_size} tokens, "
                    "what counts them more: give a --tokenizer that belongs to it"
                ) from error
        return self._tokens[key]

    def kv_bytes(self, tokens: int) -> int:
        """Bytes of keys and values of so many tokens; a layer with a window keeps no more."""
        kept = (
            own.numbers * (tokens if own.window is None else min(tokens, own.window))
            for own in self.seen
        )
        return _BYTES * sum(kept)

    def vector_bytes(self, vectors: int) -> int:
        """Bytes of so many vectors of its width `E`."""
        return _BYTES * vectors * self.width

    def work(
        self, tokens: int, *, behind: int = 0, answers: bool = False, times: float = 1.0
    ) -> Work:
        """Reading a text.

        Args:
            tokens: Of the text.
            behind: Tokens before it whose keys and values are there.
            answers: Whether the vocabulary is scored after each of the tokens.
            times: How often.
        """
        read = _Read(self._distinct(()), behind, answers)
        return Work(read.eval(), self._inputs(tokens), times, read.repeats)

    def work_with_user(
        self,
        tokens: int,
        fusion: CrossAttentionFusion,
        vectors: int,
        *,
        latents: int = 0,
        behind: int = 0,
        answers: bool = False,
        times: float = 1.0,
    ) -> Work:
        """Reading a text with a user attached by cross-attention.

        Args:
            tokens: See `work`.
            fusion: On the device `meta`, made for this model.
            vectors: Of the user.
            latents: See `UserContext`.
            behind: See `work`.
            answers: See `work`.
            times: See `work`.
        """
        read = _ReadWithUser(self._distinct(fusion.places), behind, answers, fusion, latents)
        with torch.device("meta"):
            user = (
                torch.empty(1, vectors, self.width),
                torch.ones(1, 1, vectors, dtype=torch.bool),
                torch.empty(1, 1, vectors, dtype=torch.long),
            )
        return Work(read.eval(), (*self._inputs(tokens), *user), times, read.repeats)

    def _inputs(self, tokens: int) -> tuple[Tensor, ...]:
        with torch.device("meta"):
            vectors = torch.empty(1, tokens, self.width, dtype=self.dtype)
            return vectors, torch.empty(1, tokens, dtype=torch.long)

    def _probe(self) -> tuple[Seen, ...]:
        """What each layer keeps of a token, as it shows when one is read."""
        config = self.model.config
        asked, kind = f"--llm-config {self.identity}", config.model_type
        layer_windows(config.get_text_config())
        if any(weight.ndim > 2 for weight in self.layers().parameters()):
            raise UserError(f"{asked}: of the experts of {kind} no shape tells how many are asked")
        vectors, positions = self._inputs(1)
        try:
            with torch.no_grad(), reading() as seen:
                self.model.base_model(
                    inputs_embeds=vectors, position_ids=positions, use_cache=False
                )
        except Exception as error:  # Each model that knows no such attention fails in its own way.
            raise UserError(f"{asked}: what {kind} computes cannot be counted") from error
        if not all(own.causal for own in seen):
            raise UserError(f"{asked}: {kind} is not a causal language model")
        if len(seen) != len(self.layers()):
            raise UserError(f"{asked}: the attention of {kind} cannot be counted")
        return tuple(seen)

    def _distinct(self, fused: Sequence[int]) -> _Distinct:
        """The model with one layer of each kind; those that read a user are kinds of their own."""
        if tuple(fused) not in self._shortened:
            self._shortened[tuple(fused)] = _distinct(self, frozenset(fused))
        return self._shortened[tuple(fused)]


@dataclass(frozen=True)
class _Distinct:
    """A model that is left with one layer of each kind.

    Attributes:
        llm: The model.
        layers: For how many each of its layers stands.
        fused: Which of them read a user.
    """

    llm: LanguageModel
    layers: tuple[int, ...]
    fused: tuple[int, ...]


def _distinct(llm: LlmOutline, fused: frozenset[int]) -> _Distinct:
    kinds = [
        (own, place in fused, *((name, weight.shape) for name, weight in layer.named_parameters()))
        for place, (layer, own) in enumerate(zip(llm.layers(), llm.seen, strict=True))
    ]
    kept = [place for place, kind in enumerate(kinds) if place == kinds.index(kind)]
    short = LanguageModel(copy.deepcopy(llm.model), llm.tokenizer, llm.identity)
    layers = short.layers()
    for place in reversed(range(len(kinds))):
        if place not in kept:
            del layers[place]
    short.model.config.get_text_config().num_hidden_layers = len(kept)
    return _Distinct(
        short,
        tuple(kinds.count(kinds[place]) for place in kept),
        tuple(new for new, place in enumerate(kept) if place in fused),
    )


class _Read(nn.Module):
    """Reads input embeddings `[1, T, E]` at positions `[1, T]`."""

    def __init__(self, distinct: _Distinct, behind: int, answers: bool) -> None:
        super().__init__()
        self.llm = distinct.llm
        self.behind = behind
        self.answers = answers
        counts = dict(zip(self.llm.layers(), distinct.layers, strict=True))
        self.repeats = {
            name: counts[module] for name, module in self.named_modules() if module in counts
        }

    def forward(self, vectors: Tensor, positions: Tensor) -> Tensor:
        """Last states `[1, T, E]`, or logits `[1, T, vocabulary]`."""
        model = self.llm.model
        with reading(self.behind):
            out = model.base_model(inputs_embeds=vectors, position_ids=positions, use_cache=False)
        states: Tensor = out.last_hidden_state
        return model.get_output_embeddings()(states) if self.answers else states


class _ReadWithUser(_Read):
    """The same with a user `[1, S, E]` that every token sees whole."""

    def __init__(
        self,
        distinct: _Distinct,
        behind: int,
        answers: bool,
        fusion: CrossAttentionFusion,
        latents: int,
    ) -> None:
        super().__init__(distinct, behind, answers)
        self.latents = latents
        self.fusion = _Blocks(fusion.blocks, distinct.fused)
        for block, place in enumerate(distinct.fused):
            self.repeats[f"fusion.blocks.{block}"] = distinct.layers[place]  # one before each layer

    def forward(self, vectors: Tensor, positions: Tensor, *user: Tensor) -> Tensor:
        """As above; the user is vectors, mask and distance, see `UserContext`."""
        context = UserContext(user[0], user[1], user[2], self.latents)
        with self.fusion.attend(self.llm, context):
            return super().forward(vectors, positions)


class _Blocks(CrossAttentionFusion):
    """As many of a fusion's blocks, which are all of one shape, as there are places."""

    def __init__(self, blocks: nn.ModuleList, places: tuple[int, ...]) -> None:
        nn.Module.__init__(self)
        self.places = places
        self.blocks = blocks[: len(places)]
