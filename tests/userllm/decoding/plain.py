"""Titles scored one by one by an ordinary forward pass, to compare with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from userllm.decoding import Prompt, read_prompt
from userllm.llm.language_model import LanguageModel

END = 0
VOCABULARY = 12


@dataclass(frozen=True)
class Model:
    """A tiny random language model and a lead a user, filled up with -1 at the front."""

    llm: LanguageModel
    lead: Tensor

    def prompt(self, users: slice = slice(None)) -> Prompt:
        lead = self.lead[users]
        return read_prompt(self.llm, lead, len(lead))


def random_model(seed: int, users: int) -> Model:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():  # Fresh weights are so small that every token looks alike.
        for weight in model.parameters():
            weight.mul_(6)
    length = 5
    lead = torch.randint(5, VOCABULARY, (users, length))
    real = torch.randint(1, length + 1, (users,))
    lead[torch.arange(length) < length - real.unsqueeze(1)] = -1
    return Model(LanguageModel(model, None, "random"), lead)


@torch.inference_mode()
def plain_log_probs(model: Model, titles: list[list[int]]) -> Tensor:
    """`[B, N + 1]`: title by title, token by token, without a memory or a mask."""
    whole = [(*title, END) for title in titles]
    rows = []
    for lead in model.lead:
        before = lead[lead >= 0].tolist()
        row = [-torch.inf]
        for title in whole:
            states = model.llm.model(input_ids=torch.tensor([[*before, *title]])).logits[0]
            total = 0.0
            for place, token in enumerate(title):
                options = sorted({t[place] for t in whole if t[:place] == title[:place]})
                logits = states[len(before) - 1 + place]
                total += float(logits[options].log_softmax(0)[options.index(token)])
            shared = sum(t == title for t in whole)
            row.append(total - float(torch.tensor(float(shared)).log()))
        rows.append(row)
    return torch.tensor(rows)
