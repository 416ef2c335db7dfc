"""Best-first search for the most probable items: the first k of `exact` from few positions."""

from __future__ import annotations

import torch
from torch import Tensor

from userllm.decoding.frontier import Found, Frontier, Steps
from userllm.decoding.likelihood import Prior, spread
from userllm.decoding.prompt import Prompt, TreeReader
from userllm.decoding.trie import TitleTrie
from userllm.llm.language_model import LanguageModel

AT_ONCE = 8
"""Nodes expanded for a user in a pass: more means fewer passes, and a few needless positions."""


def top_k(
    llm: LanguageModel,
    trie: TitleTrie,
    prompt: Prompt,
    k: int,
    exclude: Tensor | None = None,
    prior: Prior | None = None,
    *,
    at_once: int = AT_ONCE,
) -> Found:
    """The `k` most probable items of each user, as `catalogue_log_probs` would rank them.

    The log-probability of a title is that of any beginning of it plus logarithms of later choices,
    none above zero, so no item below a node is more probable than the node. Once `k` items are
    complete and the k-th is more probable than every node not yet read, so it is than every item
    below those nodes, and the `k` are the first `k` of all.

    Args:
        llm: The language model.
        trie: The catalogue.
        prompt: One row a user.
        k: Cut-off; at most the catalogue's size is returned.
        exclude: `BoolTensor[B, N + 1]`, True = leave this item out for this user.
        prior: For `B` views, if any.
        at_once: Nodes expanded for a user in a pass at most.
    """
    frontier = Frontier(llm, trie, prompt, exclude, prior)
    k = min(k, trie.num_items)
    if not len(trie.edge_token):
        return frontier.found(k)
    reader = TreeReader(llm, trie, prompt)
    at_once = min(at_once, trie.num_nodes)
    # Log-probability of each branching node that has been reached but not read.
    open_nodes = prompt.state.new_full((len(prompt), trie.num_nodes), -torch.inf)
    # A branching node is read together with the only way to it from the branching node before.
    head = trie.branch.new_zeros(trie.num_nodes)
    head[trie.branch[0]] = 1
    inner = trie.edge_child[trie.edge_child >= 0]
    head[trie.branch[inner]] = inner

    def expand(steps: Steps) -> None:
        child = trie.edge_child[steps.edge]
        frontier.reach(steps.pick(child < 0))
        on = steps.pick(child >= 0)
        open_nodes[on.user, trie.branch[child[child >= 0]]] = on.log_prob

    if trie.branch[0] == 0:
        expand(frontier.at_root())
    else:
        open_nodes[:, trie.branch[0]] = 0.0
    users = torch.arange(len(prompt), device=trie.device)
    while True:
        bound = frontier.scores[users].topk(k, dim=1).values[:, -1:]
        best = open_nodes[users].topk(at_once, dim=1)
        # A tie may still lead to an item of lower id, which comes first.
        worth = (best.values >= bound) & (best.values > -torch.inf)
        users = users[worth.any(dim=1)]
        if not len(users):
            return frontier.found(k)
        row, _ = worth[worth.any(dim=1)].nonzero(as_tuple=True)
        user, node, log_prob = users[row], best.indices[worth], best.values[worth]
        open_nodes[user, node] = -torch.inf
        owner, way = spread(head[node], node + 1)
        frontier.count(user[owner])
        states = reader.read_some(user[owner], way)
        arrived = way == node[owner]
        expand(frontier.at(user, node, states[arrived], log_prob))
