"""Arithmetic by shapes, against closed forms and against counting while it is done."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.cost.running import FlopCounter
from benchmark.cost.traced import traced_flops
from userllm.fusion import CrossAttentionFusion, UserContext
from userllm.llm.from_shape import outline_llm
from userllm.llm.language_model import LanguageModel
from userllm.nn.blocks import CausalTransformer
from userllm.projector import Perceiver

WIDTH, LAYERS, HEADS, VOCABULARY = 64, 3, 4, 300
LLAMA = {
    "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": WIDTH,
    "intermediate_size": 160, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
    "num_key_value_heads": 2, "max_position_embeddings": 4096,
}  # fmt: skip
GPT2 = {
    "model_type": "gpt2", "vocab_size": VOCABULARY, "n_embd": WIDTH, "n_layer": LAYERS,
    "n_head": HEADS, "n_positions": 4096,
}  # fmt: skip
MATRICES = {
    # query and output, key and value of half as many heads, three of the feed-forward
    "llama": WIDTH * (2 * WIDTH + 2 * WIDTH // 2) + 3 * WIDTH * 160,
    "gpt2": 12 * WIDTH * WIDTH,
}
"""Weights of one layer's matrices."""


def closed_form(kind: str, tokens: int, behind: int = 0, seen: float = 0.5) -> float:
    """Two a weight and token; attention: two products of two a pair and number of a head."""
    pairs = tokens * behind + seen * tokens * tokens
    return LAYERS * (2 * MATRICES[kind] * tokens + 4 * pairs * WIDTH)


def counted(model: nn.Module, *inputs: torch.Tensor) -> float:
    with torch.no_grad(), FlopCounter() as counter:
        model(*inputs)
    return counter.flops


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
@pytest.mark.parametrize("tokens", [1, 30, 2000])
def test_reading_costs_what_a_closed_form_says(config: dict, tokens: int) -> None:
    kind = config["model_type"]
    llm = outline_llm(config, None, "tiny")
    for behind in (0, 700):
        work = llm.work(tokens, behind=behind)
        flops = traced_flops(work.module, work.inputs, work.repeats)
        assert flops == pytest.approx(closed_form(kind, tokens, behind), rel=0.01)
        whole = traced_flops(work.module, work.inputs, work.repeats, causal=1.0)
        assert whole == pytest.approx(closed_form(kind, tokens, behind, seen=1), rel=0.01)
        answers = llm.work(tokens, behind=behind, answers=True)
        head = traced_flops(answers.module, answers.inputs, answers.repeats) - flops
        assert head == pytest.approx(2 * tokens * WIDTH * VOCABULARY, rel=0.01)


class Reader(nn.Module):
    """A causal model of Hugging Face, from embeddings to states."""

    def __init__(self, config: dict) -> None:
        super().__init__()
        from transformers import CONFIG_MAPPING, AutoModelForCausalLM

        values = dict(config)
        own = CONFIG_MAPPING[values.pop("model_type")](**values)
        self.model = AutoModelForCausalLM.from_config(own).eval()

    def forward(self, vectors: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        given = {"inputs_embeds": vectors, "attention_mask": mask, "use_cache": False}
        return self.model.base_model(**given).last_hidden_state


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_a_language_model_traced_is_one_that_was_watched(config: dict) -> None:
    model, vectors = Reader(config).eval(), torch.randn(1, 50, WIDTH)
    whole = closed_form(config["model_type"], 50, seen=1)
    # Whoever traces Hugging Face's models gets a mask from them, which counts whole.
    inputs = vectors, torch.full((50, 50), -torch.inf).triu(1)[None, None]
    assert traced_flops(model, inputs) == pytest.approx(counted(model, *inputs), rel=0.01)
    assert counted(model, *inputs) == pytest.approx(whole, rel=0.01)
    half = closed_form(config["model_type"], 50)
    assert counted(model, vectors) == pytest.approx(half, rel=0.01)


def test_a_transformer_over_events_traced_is_one_that_was_watched() -> None:
    model, events = CausalTransformer(16, 2, 2, 0.0, 90).eval(), torch.randn(2, 90, 16)
    assert traced_flops(model, (events,)) == pytest.approx(counted(model, events), rel=0.01)


class Bridge(nn.Module):
    """A Perceiver and what reads it."""

    def __init__(self, llm: LanguageModel) -> None:
        super().__init__()
        self.llm = llm
        self.perceiver = Perceiver(16, llm.width, 4, 2, 2, 40)
        self.fusion = CrossAttentionFusion(llm, 2, 2, 40)

    def project(self, states: torch.Tensor) -> UserContext:
        places = torch.arange(states.shape[1]).flip(0).expand(1, 1, -1)
        return self.perceiver(states, torch.ones_like(places, dtype=torch.bool), places)

    def forward(self, states: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        with self.fusion.attend(self.llm, self.project(states)):
            keep = torch.ones(1, 1, 9, 9, dtype=torch.bool).tril()
            return self.llm.hidden_states(vectors, keep)


def test_a_whole_reading_with_a_user_traced_is_one_that_was_watched(llm: LanguageModel) -> None:
    model = Bridge(llm).eval()
    inputs = torch.randn(1, 40, 16), torch.randn(1, 9, llm.width)
    assert traced_flops(model, inputs) == pytest.approx(counted(model, *inputs), rel=0.01)


def test_one_module_may_stand_for_several() -> None:
    one, four = nn.Linear(3, 3), [nn.Linear(3, 3) for _ in range(4)]
    rows = torch.empty(5, 3, device="meta")
    short = nn.Sequential(nn.Linear(3, 7), nn.Linear(7, 3), one).to("meta")
    long = nn.Sequential(nn.Linear(3, 7), nn.Linear(7, 3), *four).to("meta")
    assert traced_flops(short, (rows,), {"2": 4}) == traced_flops(long, (rows,))


def test_what_is_done_entry_by_entry_counts_nothing() -> None:
    layers = nn.Sequential(nn.LayerNorm(8), nn.GELU(), nn.Softmax(dim=-1)).to("meta")
    assert traced_flops(layers, (torch.empty(4, 8, device="meta"),)) == 0
