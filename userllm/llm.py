"""Causal language models: any of Hugging Face's, seen through the few operations we need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.errors import UserError


class LanguageModel(nn.Module):
    """A causal language model and its tokenizer.

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
    def end_token(self) -> int:
        """The token that closes a text; never read, only chosen."""
        tokenizer = self.tokenizer
        for token in (tokenizer.eos_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id):
            if token is not None:
                return int(token)
        raise UserError(f"the tokenizer of {self.identity} has no end-of-text token")

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
        """Tokens of a text, with the beginning-of-text token where asked for and known."""
        tokens: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        start = self.tokenizer.bos_token_id
        return [int(start), *tokens] if begin and start is not None else tokens

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Input embeddings `[..., E]` of tokens `[...]`."""
        return self.model.get_input_embeddings()(tokens)

    def hidden_states(
        self, vectors: Tensor, mask: Tensor | None = None, positions: Tensor | None = None
    ) -> Tensor:
        """Last hidden states `[B, T, E]` of input embeddings `[B, T, E]`.

        Args:
            vectors: Input embeddings.
            mask: `[B, T]` or `[B, 1, T, T]`, True = keep; None = plain causal.
            positions: `[B, T]`; counted from the mask where absent.
        """
        if mask is not None and mask.ndim == 2 and positions is None:
            positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        if mask is not None and mask.ndim == 4:
            # Eager attention adds the mask to its scores, so a boolean one would mean nothing.
            hidden = torch.zeros_like(mask, dtype=vectors.dtype)
            mask = hidden.masked_fill(~mask, torch.finfo(vectors.dtype).min)
        body = self.model.base_model
        out = body(
            inputs_embeds=vectors, attention_mask=mask, position_ids=positions, use_cache=False
        )
        return out.last_hidden_state

    def token_logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Logits `[M, C]` of some tokens `[C]` after states `[M, E]`."""
        weight, bias = self._head(tokens)
        return self._cap(F.linear(states, weight, bias))

    def paired_logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Logits `[B, C]`: of token c after state c of each row, states `[B, C, E]`."""
        weight, bias = self._head(tokens)
        logits = torch.einsum("bce,ce->bc", states, weight)
        return self._cap(logits if bias is None else logits + bias)

    def _head(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        head = self.model.get_output_embeddings()
        bias = getattr(head, "bias", None)
        return head.weight[tokens], None if bias is None else bias[tokens]

    def _cap(self, logits: Tensor) -> Tensor:
        cap = getattr(self.model.config.get_text_config(), "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)


def load_language_model(name: str) -> LanguageModel:
    """Loads a causal model by hub name or local path.

    Raises:
        UserError: There is no such model, or it is not a causal language model.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    path = Path(name).expanduser()
    local = path.exists() or name.startswith((".", "/", "~"))
    if local and not (path / "config.json").is_file():
        raise UserError(f"--llm {name}: no model there; a folder with config.json is needed")
    source = str(path) if local else name
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        if getattr(config, "is_encoder_decoder", False):
            raise UserError(f"--llm {name}: {config.model_type} is not a causal language model")
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            source, trust_remote_code=False, dtype=torch.float32, use_safetensors=True
        )
    except UserError:
        raise
    except Exception as error:  # The hub raises dozens of kinds; each means "not to be had".
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise UserError(f"--llm {name}: cannot be loaded ({reason})") from error
    return LanguageModel(model, tokenizer, identity=name)
