"""Causal language models: any of Hugging Face's, seen through the few operations we need."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.errors import UserError
from userllm.llm.masks import additive_masks, counted_positions, layer_windows, pairwise
from userllm.llm.memory import Memory
from userllm.nn.loss import full_precision


class LanguageModel(nn.Module):
    """A causal language model and its tokenizer.

    The model keeps the dtype of its weights. What it gives back has 32 bits at least, and what it
    is given may have any number of them.

    Args:
        model: A Hugging Face causal model.
        tokenizer: Its tokenizer.
        identity: What distinguishes its weights from others', for caches and records.
    """

    def __init__(self, model: Any, tokenizer: Any, identity: str) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.identity = identity

    @property
    def width(self) -> int:
        """`E`, width of the token embeddings."""
        return int(self.model.get_input_embeddings().weight.shape[1])

    @property
    def layer_width(self) -> int:
        """Width of what passes between decoder layers; in a few models (OPT-350m) not `E`."""
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights that read, and of what passes between the layers."""
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight.dtype

    @property
    def end_token(self) -> int:
        """The token that closes a text; never read, only chosen."""
        tokenizer = self.tokenizer
        for token in (tokenizer.eos_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id):
            if token is not None:
                return int(token)
        raise UserError(
            f"the tokenizer of {self.identity} has no end-of-text token: set its eos_token to one "
            "that it knows"
        )

    def layers(self) -> nn.ModuleList:
        """The decoder layers, found by structure: the list of as many modules as the config says.

        Raises:
            UserError: No such list.
        """
        config = self.model.config.get_text_config()
        count = config.num_hidden_layers
        for module in self.model.modules():
            if isinstance(module, nn.ModuleList) and len(module) == count:
                return module
        raise UserError(f"found no list of {count} decoder layers in {self.identity}")

    def encode(self, text: str, *, begin: bool = False) -> list[int]:
        """Tokens of a text, with the beginning-of-text token where asked for and known.

        Raises:
            UserError: The tokenizer knows a token that the model does not.
        """
        tokens: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        start = self.tokenizer.bos_token_id
        if begin and start is not None:
            tokens = [int(start), *tokens]
        known = self.model.get_input_embeddings().weight.shape[0]
        if tokens and max(tokens) >= known:
            raise UserError(
                f"{self.identity} has {known} tokens, its tokenizer more, one of them in {text!r}: "
                "call resize_token_embeddings on the model after adding tokens"
            )
        return tokens

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Input embeddings `[..., E]` of tokens `[...]`."""
        return self.model.get_input_embeddings()(tokens)

    @property
    def places(self) -> int | None:
        """Most tokens that it can read; None = any number."""
        places = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return None if places is None else int(places)

    def check_positions(self, needed: int) -> None:
        """Refuses a text of so many tokens where the model has fewer positions.

        Raises:
            UserError: It has fewer.
        """
        places = self.places
        if places is not None and needed > places:
            raise UserError(
                f"user, text and title take up to {needed} positions, but {self.identity} has "
                f"{places}: shorten the encoder's history, recent_as_text or the titles"
            )

    def new_memory(self, batch: int) -> Memory:
        """An empty memory of `batch` rows."""
        return Memory(torch.zeros(batch, 0, dtype=torch.long, device=self.device))

    def hidden_states(
        self,
        vectors: Tensor,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        memory: Memory | None = None,
    ) -> Tensor:
        """Last hidden states `[B, T, E]` of input embeddings `[B, T, E]`, in 32 bits at least.

        Args:
            vectors: Input embeddings; rounded to the model's dtype.
            mask: `[B, T]`, or `[B, 1, T, S + T]` after `S` remembered tokens; True = keep; None =
                plain causal. Layers with a sliding window see less, by position.
            positions: `[B, T]`; counted from the mask where absent. Tokens of a row may share one.
            memory: What was read before, to which this reading is added. Needs a mask of four
                dimensions, and positions; where it is empty, neither is a plain causal reading.

        Raises:
            ValueError: A memory without such a mask, or without positions.
        """
        begins = not memory and mask is None and positions is None
        on_top = mask is not None and mask.ndim == 4 and positions is not None
        if memory is not None and not begins and not on_top:
            raise ValueError("on top of a memory, a mask [B, 1, T, S + T] and positions are needed")
        if mask is not None and positions is None:
            positions = counted_positions(mask)
        given: Any = mask
        vectors = vectors.to(self.dtype)
        windows = layer_windows(self.model.config.get_text_config())
        if mask is not None and positions is not None and (mask.ndim == 4 or windows):
            read = positions
            if memory is not None:
                positions = positions.expand(len(vectors), -1)
                read = torch.cat([memory.positions, positions], dim=1)
            given = additive_masks(pairwise(mask), positions, read, windows, vectors.dtype)
        out = self.model.base_model(
            inputs_embeds=vectors,
            attention_mask=given,
            position_ids=positions,
            past_key_values=None if memory is None else memory.cache,
            use_cache=memory is not None,
        )
        if memory is not None:
            if positions is None:
                positions = torch.arange(vectors.shape[1], device=vectors.device)
            memory.append(positions.expand(len(vectors), -1))
            if memory.cache.get_seq_length() != len(memory):
                raise RuntimeError("no memory in training with gradient checkpointing: use eval()")
        return full_precision(out.last_hidden_state)

    def logits(self, states: Tensor) -> Tensor:
        """Logits `[M, V]` of the whole vocabulary after states `[M, E]`."""
        return self.token_logits(states, slice(None))

    def token_logits(self, states: Tensor, tokens: Tensor | slice) -> Tensor:
        """Logits `[M, C]` of some tokens `[C]` after states `[M, E]`."""
        weight, bias = self._head(tokens)
        return self._scaled(F.linear(states.to(weight.dtype), weight, bias))

    def paired_logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Logits `[B, C]`: of token c after state c of each row, states `[B, C, E]`."""
        weight, bias = self._head(tokens)
        logits = torch.einsum("bce,ce->bc", states.to(weight.dtype), weight)
        return self._scaled(logits if bias is None else logits + bias)

    def _head(self, tokens: Tensor | slice) -> tuple[Tensor, Tensor | None]:
        head = self.model.get_output_embeddings()
        bias = getattr(head, "bias", None)
        return head.weight[tokens], None if bias is None else bias[tokens]

    def _scaled(self, logits: Tensor) -> Tensor:
        """What some models do to their logits, by the names that configurations share.

        In 32 bits at least: autocast computes products in 16, too few to sum probabilities in.
        """
        logits = full_precision(logits)
        config = self.model.config.get_text_config()
        factor = getattr(config, "logit_scale", None) or 1.0
        divisor = getattr(config, "logits_scaling", None) or 1.0
        cap = getattr(config, "final_logit_softcapping", None)
        if (factor, divisor) != (1.0, 1.0):
            logits = logits * (factor / divisor)
        return logits if cap is None else cap * torch.tanh(logits / cap)
