"""Counting arithmetic as it is done, against products worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

from benchmark.cost.running import REST, FlopCounter
from userllm.nn.attention import Attention
from userllm.nn.blocks import CausalTransformer
from userllm.nn.loss import catalogue_cross_entropy


def flops_of(function) -> float:
    with FlopCounter() as counter:
        function()
    return counter.flops


@pytest.mark.parametrize("grad", [True, False])
def test_a_linear_map_costs_two_a_weight_and_row(grad: bool) -> None:
    layer, rows = nn.Linear(3, 5), torch.randn(7, 3)
    with torch.set_grad_enabled(grad):
        assert flops_of(lambda: layer(rows)) == 2 * 7 * 3 * 5
    with torch.inference_mode():
        assert flops_of(lambda: layer(rows)) == 2 * 7 * 3 * 5


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize(("causal", "share"), [(True, 0.5), (False, 1.0)])
def test_attention_costs_two_products_a_pair_and_causal_half(
    grad: bool, causal: bool, share: float
) -> None:
    query, key = torch.randn(2, 4, 6, 8, requires_grad=grad), torch.randn(2, 4, 6, 8)
    with torch.set_grad_enabled(grad):
        counted = flops_of(
            lambda: F.scaled_dot_product_attention(query, key, key, is_causal=causal)
        )
    assert counted == share * (2 * 2) * (2 * 4) * 6 * 6 * 8


def test_the_backward_pass_of_a_linear_map_costs_twice_the_forward() -> None:
    layer, rows = nn.Linear(4, 4, bias=False), torch.randn(9, 4, requires_grad=True)
    forward = flops_of(lambda: layer(rows))
    assert flops_of(lambda: layer(rows).sum().backward()) == 3 * forward


def test_the_backward_pass_of_attention_is_counted() -> None:
    query = torch.randn(1, 2, 5, 4, requires_grad=True)
    attend = lambda: F.scaled_dot_product_attention(query, query, query)  # noqa: E731
    forward, both = flops_of(attend), flops_of(lambda: attend().sum().backward())
    assert both > 2 * forward


def test_a_loss_that_computes_its_gradient_ahead_counts_it() -> None:
    states, table = torch.randn(10, 6, requires_grad=True), torch.randn(8, 6, requires_grad=True)
    targets = torch.randint(1, 8, (10,))
    counted = flops_of(lambda: catalogue_cross_entropy(states, table, targets))
    assert counted == 3 * 2 * 10 * 7 * 6  # logits, and a product for either gradient


def tiny(kind: str) -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    if kind == "gpt2":
        return GPT2LMHeadModel(GPT2Config(vocab_size=60, n_embd=16, n_layer=2, n_head=2))
    config = LlamaConfig(
        vocab_size=60, hidden_size=16, intermediate_size=40, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    return LlamaForCausalLM(config)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("backward", [False, True])
def test_it_agrees_with_torchs_own_counter_once_that_knows_attention_on_a_processor(
    kind: str, backward: bool
) -> None:
    aten = torch.ops.aten
    mapping = {
        aten._scaled_dot_product_flash_attention_for_cpu: (
            lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v)
        ),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: (
            lambda grad, q, k, v, *_, **__: sdpa_backward_flop_count(grad, q, k, v)
        ),
    }
    model, tokens = tiny(kind).eval(), torch.arange(24).view(1, 24)

    def run() -> None:
        with torch.set_grad_enabled(backward):
            loss = model(input_ids=tokens, use_cache=False).logits.square().mean()
            if backward:
                loss.backward()

    with FlopCounterMode(display=False, custom_mapping=mapping) as theirs:
        run()
    whole = theirs.get_total_flops()
    attention = sum(
        flops
        for name, flops in theirs.get_flop_counts()["Global"].items()
        if "attention" in str(name)
    )
    assert attention > 0
    # The one difference: of causal attention we count half.
    assert flops_of(run) == pytest.approx(whole - attention / 2, rel=0.01)


class Two(nn.Module):
    """Calls its reader once, then its writer several times."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = CausalTransformer(8, 1, 2, 0.0, 4)
        self.writer = nn.Linear(8, 8, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.reader(x)
        for _ in range(3):
            x = self.writer(x)
        return x @ torch.ones(8, 8)


@contextmanager
def watched(model: Two) -> Iterator[FlopCounter]:
    counter = FlopCounter()
    reads = counter.within({"reads": model.reader})
    with counter, reads, counter.calls(model.writer, "one", "more"):
        yield counter


def test_parts_hold_what_their_modules_do_and_the_rest_is_told_apart() -> None:
    model, x = Two().eval(), torch.randn(1, 4, 8)
    product = 2 * 4 * 8 * 8
    with torch.no_grad(), watched(model) as counter:
        model(x)
    assert counter.parts["one"] == product
    assert counter.parts["more"] == 2 * product
    assert counter.parts[REST] == product
    assert counter.parts["reads"] == flops_of(lambda: model.reader(x))
    assert counter.flops == sum(counter.parts.values())


def test_a_part_is_found_by_the_layers_it_is_made_of() -> None:
    attention, x = Attention(8, 2), torch.randn(1, 4, 8)
    with torch.no_grad(), FlopCounter() as counter, counter.within({"part": attention}):
        attention.out(attention.query(x))  # as some encoders do, past the module's own forward
    assert set(counter.parts) == {"part"}


def test_hooks_are_gone_afterwards_even_where_a_module_fails() -> None:
    model = Two()
    with pytest.raises(RuntimeError), watched(model):
        model(torch.randn(1, 4, 3))
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())
