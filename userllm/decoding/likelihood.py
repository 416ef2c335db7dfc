"""Log-probabilities of choices at the branching nodes of the trie, and of titles from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from userllm.decoding.layout import Choices
from userllm.decoding.trie import TitleTrie
from userllm.llm.language_model import LanguageModel


@dataclass(frozen=True)
class Prior:
    """What is known of the item before the language model speaks.

    Attributes:
        log_mass: `FloatTensor[V, E]` log-probability under each edge of the trie, for each of `V`
            views; see `TitleTrie.edge_log_mass`.
        volume: Scalar factor on the language model's logits, which are added to it.
    """

    log_mass: Tensor
    volume: Tensor


def spread(begin: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Lists ranges `[M]` one behind the other: for each number its range, and the number."""
    count = end - begin
    row = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
    nth = torch.arange(len(row), device=count.device) - (count.cumsum(0) - count)[row]
    return row, begin[row] + nth


def log_mass(logits: Tensor, row: Tensor, count: int) -> Tensor:
    """Log of the sum of exponentials `[count]` of the logits `[M]` of each row, differentiable."""
    top = logits.new_full((count,), -torch.inf)
    top = top.scatter_reduce(0, row, logits.detach(), "amax")
    mass = logits.new_zeros(count).index_add(0, row, (logits - top[row]).exp())
    return top + mass.log()


def choice_log_probs(
    llm: LanguageModel,
    trie: TitleTrie,
    states: Tensor,
    edges: Tensor,
    prior: Prior | None = None,
    owner: Tensor | None = None,
) -> Tensor:
    """Log-probabilities `[M]` of taking edges at branching nodes.

    Args:
        llm: Gives the token logits.
        trie: The catalogue.
        states: `[M, E]` states at the nodes.
        edges: `LongTensor[M]`.
        prior: Added to the logits, if any.
        owner: `LongTensor[M]` the prior's view of each decision; needed with `prior`.
    """
    logits = llm.token_logits(states, trie.choice_tokens)
    nodes = trie.edge_node[edges]
    row, option = spread(trie.edge_start[nodes], trie.edge_start[nodes + 1])
    options = logits[row, trie.edge_choice[option]]
    chosen = logits.gather(1, trie.edge_choice[edges].unsqueeze(1)).squeeze(1)
    if prior is not None and owner is not None:
        options = prior.volume * options + prior.log_mass[owner[row], option]
        chosen = prior.volume * chosen + prior.log_mass[owner, edges]
    return chosen - log_mass(options, row, len(edges))


def title_log_probs(
    llm: LanguageModel,
    trie: TitleTrie,
    states: Tensor,
    choices: Choices,
    items: Tensor,
    prior: Prior | None = None,
) -> Tensor:
    """Log-probability of each view's item, `[B, P]`, nats, differentiable.

    Args:
        llm: Gives the token logits.
        trie: The catalogue.
        states: `[B, T, E]` states of the layout that `choices` belongs to.
        choices: From `title_layout`.
        items: `LongTensor[B, P]`.
        prior: For `B * P` views, if any.
    """
    picked = states[choices.row, choices.column]
    log_probs = choice_log_probs(llm, trie, picked, choices.edge, prior, choices.owner)
    total = log_probs.new_zeros(items.numel()).index_add(0, choices.owner, log_probs)
    return total.view_as(items) + trie.log_share[items].to(total.dtype)
