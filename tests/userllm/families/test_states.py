"""What the model reads is what it would read by itself: heads, trees, windows, memory, padding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.userllm.families.checkpoints import WINDOW, WINDOWED, load
from userllm.llm.language_model import LanguageModel

TOKENS = torch.tensor([[5, 9, 30, 7, 77, 8, 123, 60, 31], [8, 44, 21, 40, 6, 7, 250, 33, 12]])
PARENTS = [-1, 0, 1, 2, 2, 3, 4, 5, 1, 8, 9, 7, 10]
"""A tree: the node before each node."""
CLOSE = {"atol": 2e-5, "rtol": 1e-4}


def ancestors() -> Tensor:
    """Which nodes each node of the tree sees: itself and those on the way to it."""
    sees = torch.eye(len(PARENTS), dtype=torch.bool)
    for node, parent in enumerate(PARENTS):
        if parent >= 0:
            sees[node] |= sees[parent]
    return sees


def states_of_branches(llm: LanguageModel, tokens: Tensor) -> Tensor:
    """State of each node of the tree, each read alone after the tokens on the way to it."""
    last = []
    for row in ancestors():
        body = llm.model.base_model(input_ids=tokens[:, row], use_cache=False)
        last.append(body.last_hidden_state[:, -1])
    return torch.stack(last, dim=1)


@torch.no_grad()
def test_embeddings_states_and_logits_are_the_models_own(family_llm: LanguageModel) -> None:
    llm = family_llm
    logits = llm.model(input_ids=TOKENS).logits
    vectors = llm.embed_tokens(TOKENS)
    assert vectors.shape[2] == llm.width
    assert torch.equal(llm.model(inputs_embeds=vectors).logits, logits)
    states = llm.hidden_states(vectors)
    every = torch.arange(logits.shape[2])
    torch.testing.assert_close(llm.token_logits(states.flatten(0, 1), every), logits.flatten(0, 1))
    few = TOKENS[0]
    expected = logits[:, torch.arange(len(few)), few]
    torch.testing.assert_close(llm.paired_logits(states, few), expected)


def test_the_layers_are_those_of_the_decoder(family_llm: LanguageModel) -> None:
    layers = family_llm.layers()
    assert len(layers) == family_llm.model.config.num_hidden_layers
    assert {type(layer).__name__.endswith(("Layer", "Block")) for layer in layers} == {True}
    seen = []
    handles = [
        layer.register_forward_hook(lambda _, args, out: seen.append(args[0].shape[-1]))
        for layer in layers
    ]
    family_llm.hidden_states(family_llm.embed_tokens(TOKENS))
    for handle in handles:
        handle.remove()
    assert seen == [family_llm.layer_width] * len(layers)


@torch.no_grad()
def test_padding_on_either_side_gives_the_same_states(family_llm: LanguageModel) -> None:
    llm = family_llm
    plain = llm.hidden_states(llm.embed_tokens(TOKENS))
    filler = torch.zeros(2, 3, dtype=torch.long)
    real = torch.ones_like(TOKENS, dtype=torch.bool)
    for left in (True, False):
        parts = [filler, TOKENS] if left else [TOKENS, filler]
        masks = [filler.bool(), real] if left else [real, filler.bool()]
        states = llm.hidden_states(llm.embed_tokens(torch.cat(parts, 1)), torch.cat(masks, 1))
        kept = states[:, 3:] if left else states[:, : TOKENS.shape[1]]
        torch.testing.assert_close(kept, plain, **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("eager", [False, True])
def test_a_tree_reads_as_each_of_its_branches_alone(family_llm: LanguageModel, eager: bool) -> None:
    llm = family_llm
    if eager:
        llm.model.set_attn_implementation("eager")
    torch.manual_seed(0)
    tokens = torch.randint(3, 250, (2, len(PARENTS)))
    sees = ancestors().expand(2, 1, -1, -1)
    positions = (sees[:, 0].sum(-1) - 1).long()
    alone = states_of_branches(llm, tokens)
    vectors = llm.embed_tokens(tokens)
    torch.testing.assert_close(llm.hidden_states(vectors, sees, positions), alone, **CLOSE)

    # The same in three readings, on top of what was read before.
    memory = llm.new_memory(2)
    begin, read = 0, []
    for end in (1, 6, len(PARENTS)):
        now = slice(begin, end)
        mask = sees[:, :, now, :end]
        read.append(llm.hidden_states(vectors[:, now], mask, positions[:, now], memory))
        begin = end
    torch.testing.assert_close(torch.cat(read, dim=1), alone, **CLOSE)
    assert len(memory) == len(PARENTS)


@pytest.mark.parametrize("family", WINDOWED)
def test_the_windows_are_shorter_than_the_packed_tree(
    family: str, checkpoints: dict[str, Path]
) -> None:
    config = load(checkpoints[family]).model.config
    depth = int(ancestors().sum(dim=1).max())
    assert config.sliding_window == WINDOW < depth < len(PARENTS)


@torch.no_grad()
def test_memories_are_repeated_selected_and_cut_without_sharing(
    family_llm: LanguageModel,
) -> None:
    llm = family_llm
    vectors = llm.embed_tokens(TOKENS)
    length = TOKENS.shape[1]
    keep = torch.ones(length, length, dtype=torch.bool).tril().expand(2, 1, -1, -1)
    places = torch.arange(length).expand(2, -1)
    whole = llm.hidden_states(vectors, keep, places)
    memory = llm.new_memory(2)
    llm.hidden_states(vectors[:, :6], keep[:, :, :6, :6], places[:, :6], memory)
    for change, rows in (
        (memory.repeat(2), torch.tensor([0, 0, 1, 1])),
        (memory.select(torch.tensor([1, 1, 0])), torch.tensor([1, 1, 0])),
    ):
        late = slice(6, length)
        states = llm.hidden_states(
            vectors[rows, late], keep[rows, :, late], places[rows, late], change
        )
        torch.testing.assert_close(states, whole[rows, late], **CLOSE)
        assert change.positions.shape == (len(rows), length)
    short = memory.cut(4)
    states = llm.hidden_states(vectors[:, 4:], keep[:, :, 4:], places[:, 4:], short)
    torch.testing.assert_close(states, whole[:, 4:], **CLOSE)
    assert (len(memory), len(short)) == (6, length)
