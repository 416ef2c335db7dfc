"""Every title scored alone, as fast as that can be done fairly: what exact ranking is held against.

What stands before the titles is read once; the titles continue it from its keys and values, in
batches of like length. The likelihood is the trie's, so that the answers can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmark.registry import load


def exhaustive(
    llm: Any,
    trie: Any,
    titles: Sequence[Sequence[int]],
    prompts: Sequence[Any],
    priors: Sequence[Any],
    *,
    positions_at_once: int,
) -> Tensor:
    """Log-probability `[B, N + 1]` of every item, nats.

    Args:
        llm: A `userllm.llm.language_model.LanguageModel`.
        trie: The catalogue.
        titles: Tokens of each title, item 1 first.
        prompts: A `userllm.decoding.Prompt` a user.
        priors: A `userllm.decoding.Prior` or None a user.
        positions_at_once: The model reads about so many positions in a pass.
    """
    scores = prompts[0].state.new_full((len(prompts), trie.num_items + 1), -torch.inf)
    for user, (prompt, prior) in enumerate(zip(prompts, priors, strict=True)):
        for items, tokens in _batches(titles, positions_at_once):
            scores[user, items] = _score(llm, trie, items, tokens, prompt, prior)
    return scores


def _batches(
    titles: Sequence[Sequence[int]], positions_at_once: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Items `[M]` and their tokens `[M, T]`, filled up with -1, by length."""
    order = sorted(range(len(titles)), key=lambda i: len(titles[i]), reverse=True)
    begin = 0
    while begin < len(order):
        longest = max(1, len(titles[order[begin]]))
        batch = order[begin : begin + max(1, positions_at_once // longest)]
        # Much shorter titles wait for the next batch, unless that would be a small one.
        shorter = (n for n, i in enumerate(batch) if n >= 64 and len(titles[i]) < 0.9 * longest)
        batch = batch[: next(shorter, len(batch))]
        begin += len(batch)
        rows = [torch.tensor(titles[i], dtype=torch.long) for i in batch]
        tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
        yield torch.tensor(batch) + 1, tokens


def _score(llm: Any, trie: Any, items: Tensor, tokens: Tensor, prompt: Any, prior: Any) -> Tensor:
    count, length = tokens.shape
    each = prompt.repeat(count)
    causal = torch.ones(length, length, dtype=torch.bool).tril().expand(count, -1, -1)
    before = each.visible.unsqueeze(1).expand(-1, length, -1)
    keep = torch.cat([before, causal], dim=2).unsqueeze(1)
    positions = each.start.unsqueeze(1) + torch.arange(length)
    with prompt.attend(prompt.users):
        vectors = llm.embed_tokens(tokens.clamp(min=0))
        states = llm.hidden_states(vectors, keep, positions, each.memory)
    states = torch.cat([each.state.unsqueeze(1), states], dim=1)
    edges = trie.item_choices[items][:, : length + 1]
    row, place = (edges >= 0).nonzero(as_tuple=True)
    choice_log_probs: Any = load("userllm.decoding:choice_log_probs")
    owner = torch.zeros_like(row)
    each_choice = choice_log_probs(llm, trie, states[row, place], edges[row, place], prior, owner)
    total = each_choice.new_zeros(count).index_add(0, row, each_choice)
    return total + trie.log_share[items].to(total.dtype)
