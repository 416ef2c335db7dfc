"""Likelihood of titles under a language model: for training, and exactly for the whole catalogue.

A sequence holds, for one user, an optional *prefix* (soft prompt or history as text) and behind
it several *branches*, each of which sees its part of the prefix and itself, but no other branch.
In training a branch is the query and one title; to rank, it is the query and the whole trie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from userllm.llm import LanguageModel
from userllm.trie import TitleTrie

POSITIONS_AT_ONCE = 16_384
"""Bounds the memory of ranking; larger batches are no faster."""


@dataclass(frozen=True)
class Prefix:
    """What stands before the branches of each user.

    Attributes:
        vectors: `FloatTensor[B, S, E]` input embeddings.
        keep: `BoolTensor[B, S, S]` which prefix positions each prefix position sees.
        visible: `BoolTensor[B, P, S]` which of them each view (see `Layout`) sees.
        positions: `LongTensor[B, S]` for the model's position embedding.
    """

    vectors: Tensor
    keep: Tensor
    visible: Tensor
    positions: Tensor


@dataclass(frozen=True)
class Layout:
    """The branches of each user, one behind the other.

    A *view* is a state of knowledge about the user, for example the history up to one position.

    Attributes:
        tokens: `LongTensor[B, T]`; padding holds 0.
        view: `LongTensor[B, T]` the view in 0..P-1 that a token belongs to.
        offset: `LongTensor[B, T]` tokens of the branch before it, on the way to it.
        keep: `BoolTensor[B, T, T]` which tokens each token sees, itself always.
    """

    tokens: Tensor
    view: Tensor
    offset: Tensor
    keep: Tensor


@dataclass(frozen=True)
class Choices:
    """Decisions at branching nodes of the trie that training scores.

    Attributes:
        row: `LongTensor[M]` user of each decision.
        column: `LongTensor[M]` position in the layout whose state decides.
        edge: `LongTensor[M]` the edge of the trie taken.
        owner: `LongTensor[M]` the branch `b * P + p` whose title it belongs to.
    """

    row: Tensor
    column: Tensor
    edge: Tensor
    owner: Tensor


def title_layout(
    trie: TitleTrie, query: Tensor, items: Tensor, kept: Tensor
) -> tuple[Layout, Choices]:
    """Packs one title a view: the query, then the title up to its last branching node.

    Args:
        trie: The catalogue.
        query: `LongTensor[G]`, at least one token.
        items: `LongTensor[B, P]`.
        kept: `BoolTensor[B, P]`, False = leave this view out.
    """
    users, views = items.shape
    inputs = trie.item_inputs[items]
    lengths = torch.where(kept, len(query) + (inputs >= 0).sum(-1), 0)
    total = lengths.sum(dim=1)
    width = int(total.max())
    flat = lengths.flatten()
    branch = torch.repeat_interleave(torch.arange(users * views, device=items.device), flat)
    offset = torch.arange(len(branch), device=items.device) - (flat.cumsum(0) - flat)[branch]
    row = branch // views
    column = torch.arange(len(branch), device=items.device) - (total.cumsum(0) - total)[row]

    read = torch.cat([query.expand(users * views, -1), inputs.flatten(0, 1)], dim=1)
    tokens = items.new_zeros(users, width)
    tokens[row, column] = read[branch, offset]
    view = items.new_full((users, width), -1)
    view[row, column] = branch % views
    place = items.new_zeros(users, width)
    place[row, column] = offset
    same = (view.unsqueeze(2) == view.unsqueeze(1)) & (place.unsqueeze(2) >= place.unsqueeze(1))
    layout = Layout(tokens, view.clamp(min=0), place, same)

    step = offset - (len(query) - 1)
    edge = trie.item_choices[items].flatten(0, 1)[branch, step.clamp(min=0)]
    decides = (step >= 0) & (edge >= 0)
    return layout, Choices(row[decides], column[decides], edge[decides], branch[decides])


def catalogue_layout(trie: TitleTrie, query: Tensor, users: int) -> Layout:
    """The query and then all nodes of the trie: a node sees the query and its ancestors."""
    tokens = torch.cat([query, trie.token[1:]])
    ahead = torch.arange(len(query), device=query.device)
    offset = torch.cat([ahead, len(query) - 1 + trie.depth[1:]])
    nodes = trie.num_nodes - 1
    keep = torch.ones(len(tokens), len(tokens), dtype=torch.bool, device=query.device).tril()
    keep[len(query) :, len(query) :] = trie.ancestors[1:, 1:]
    return Layout(
        tokens.expand(users, -1),
        tokens.new_zeros(users, len(query) + nodes),
        offset.expand(users, -1),
        keep.expand(users, -1, -1),
    )


def chunks(users: int, positions: int) -> Iterator[slice]:
    """Cuts a batch so that the model reads about `POSITIONS_AT_ONCE` positions at once."""
    size = max(1, POSITIONS_AT_ONCE // max(1, positions))
    for begin in range(0, users, size):
        yield slice(begin, begin + size)


def branch_states(llm: LanguageModel, layout: Layout, prefix: Prefix | None = None) -> Tensor:
    """Last hidden states `[B, T, E]` of the branches."""
    vectors = llm.embed_tokens(layout.tokens)
    if prefix is None:
        return llm.hidden_states(vectors, layout.keep.unsqueeze(1), layout.offset)
    length = prefix.vectors.shape[1]
    sees = prefix.visible.gather(1, layout.view.unsqueeze(2).expand(-1, -1, length))
    blind = prefix.keep.new_zeros(len(sees), length, sees.shape[1])
    above = torch.cat([prefix.keep, blind], dim=2)
    keep = torch.cat([above, torch.cat([sees, layout.keep], dim=2)], dim=1)
    start = prefix.positions.unsqueeze(1).masked_fill(~prefix.visible, -1).amax(dim=2) + 1
    positions = torch.cat([prefix.positions, start.gather(1, layout.view) + layout.offset], dim=1)
    states = llm.hidden_states(
        torch.cat([prefix.vectors, vectors], dim=1), keep.unsqueeze(1), positions
    )
    return states[:, length:]


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
    start = trie.edge_start[nodes]
    count = trie.edge_start[nodes + 1] - start
    row = torch.repeat_interleave(torch.arange(len(edges), device=edges.device), count)
    nth = torch.arange(len(row), device=edges.device) - (count.cumsum(0) - count)[row]
    option = start[row] + nth
    options = logits[row, trie.edge_choice[option]]
    chosen = logits.gather(1, trie.edge_choice[edges].unsqueeze(1)).squeeze(1)
    if prior is not None and owner is not None:
        options = prior.volume * options + prior.log_mass[owner[row], option]
        chosen = prior.volume * chosen + prior.log_mass[owner, edges]
    top = logits.new_full((len(edges),), -torch.inf)
    top = top.scatter_reduce(0, row, options.detach(), "amax")
    mass = logits.new_zeros(len(edges)).index_add(0, row, (options - top[row]).exp())
    return chosen - top - mass.log()


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


def catalogue_log_probs(
    llm: LanguageModel,
    trie: TitleTrie,
    states: Tensor,
    query_length: int,
    prior: Prior | None = None,
) -> Tensor:
    """Exact log-probability `[B, N + 1]` of every item, nats.

    Column 0 is minus infinity; the others sum to one in probability.

    Args:
        llm: Gives the token logits.
        trie: The catalogue.
        states: `[B, T, E]` states of `catalogue_layout`.
        query_length: Tokens of the query.
        prior: For `B` views, if any.
    """
    nodes = states[:, query_length - 1 :]
    logits = llm.paired_logits(nodes[:, trie.edge_node], trie.edge_token)
    if prior is not None:
        logits = prior.volume * logits + prior.log_mass
    return trie.item_log_probs(trie.edge_log_softmax(logits))
