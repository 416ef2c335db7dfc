"""The catalogue's titles as a trie of tokens, and the distribution over items that it defines.

At a node only its children can come next. With the softmax taken over the children alone, nodes
with one child cost nothing, and the log-probability of a title is the sum over the branching
nodes on its path: a distribution over the catalogue that sums to one, comparable with the item
softmax of a model over ids. (The same loss is published as masked softmax loss, SIGIR 2025.)

Items with the same title share a leaf, and share its probability equally.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class TitleTrie:
    """Flat arrays of the trie, reduced to what the language model must be asked.

    A *node* here is a position that the model must read: the root, the branching nodes and what
    leads to them. An *edge* is a possible next token at a branching node.

    Attributes:
        parent: `[P]` node before each node; nodes are sorted by depth, node 0 is the root (-1).
        token: `[P]` token that leads to the node; -1 at the root.
        depth: `[P]` tokens from the root.
        edge_node: `[E]` node at which an edge leaves; edges of a node stand together.
        edge_token: `[E]` its token.
        edge_start: `[P + 1]` first edge of each node.
        item_edges: `[N + 1, S]` edges on the path of each item, filled up with `E`.
        item_inputs: `[N + 1, T]` tokens of the item up to its last branching node, filled with -1.
        item_choices: `[N + 1, T + 1]` edge chosen after reading so many of them; -1 = no choice.
        log_share: `[N + 1]` minus the log of how many items share the item's leaf.
        total_positions: Tokens in all titles, terminators counted: what scoring each title alone
            would read.
    """

    parent: Tensor
    token: Tensor
    depth: Tensor
    edge_node: Tensor
    edge_token: Tensor
    edge_start: Tensor
    item_edges: Tensor
    item_inputs: Tensor
    item_choices: Tensor
    log_share: Tensor
    total_positions: int

    @property
    def num_items(self) -> int:
        """`N`."""
        return len(self.log_share) - 1

    @property
    def num_nodes(self) -> int:
        """`P`: positions the model must read to score the whole catalogue."""
        return len(self.parent)

    @cached_property
    def choice_tokens(self) -> Tensor:
        """The distinct tokens of all edges, ascending."""
        return self.edge_token.unique()

    @cached_property
    def edge_choice(self) -> Tensor:
        """`LongTensor[E]`: place of each edge's token in `choice_tokens`."""
        return torch.searchsorted(self.choice_tokens, self.edge_token)

    @cached_property
    def ancestors(self) -> Tensor:
        """`BoolTensor[P, P]`: entry (i, j) is True where node j is i or lies on the way to i."""
        seen = torch.eye(self.num_nodes, dtype=torch.bool, device=self.parent.device)
        for node in range(1, self.num_nodes):
            seen[node] |= seen[self.parent[node]]
        return seen

    def item_log_probs(self, edge_log_probs: Tensor) -> Tensor:
        """Log-probabilities `[B, N + 1]` of the items from those of the edges `[B, E]`.

        Column 0 (padding) is minus infinity.
        """
        padded = torch.cat([edge_log_probs, edge_log_probs.new_zeros(len(edge_log_probs), 1)], 1)
        total = padded[:, self.item_edges.flatten()].unflatten(1, self.item_edges.shape).sum(-1)
        total = total + self.log_share.to(total.dtype)
        total[:, 0] = -torch.inf
        return total

    def edge_log_mass(self, item_log_probs: Tensor) -> Tensor:
        """Log of the probability `[B, E]` that a distribution `[B, N + 1]` puts under each edge.

        The distribution that the trie makes of it is the given one, up to how items of the same
        title share.
        """
        items, places = (self.item_edges < len(self.edge_token)).nonzero(as_tuple=True)
        probs = item_log_probs.exp()
        mass = probs.new_zeros(len(probs), len(self.edge_token))
        mass = mass.index_add(1, self.item_edges[items, places], probs[:, items])
        return mass.clamp_min(torch.finfo(probs.dtype).tiny).log()

    def edge_log_softmax(self, edge_logits: Tensor) -> Tensor:
        """Softmax `[B, E]` over the edges of each node."""
        node = self.edge_node.expand(len(edge_logits), -1)
        shape = (len(edge_logits), self.num_nodes)
        top = edge_logits.new_full(shape, -torch.inf)
        top = top.scatter_reduce(1, node, edge_logits.detach(), "amax")
        shifted = edge_logits - top.gather(1, node)
        mass = edge_logits.new_zeros(shape).scatter_add(1, node, shifted.exp())
        return shifted - mass.log().gather(1, node)


def build_trie(titles: Sequence[Sequence[int]], end: int) -> TitleTrie:
    """Builds the trie.

    Args:
        titles: Tokens of each item, item 1 first.
        end: Token that closes a title, so that one may be the beginning of another.

    Raises:
        ValueError: No titles, or one holds the closing token.
    """
    if not titles:
        raise ValueError("a trie needs at least one title")
    children: list[dict[int, int]] = [{}]
    owners: dict[int, int] = {}
    paths: list[list[int]] = []
    for title in titles:
        if end in title:
            raise ValueError("a title holds the closing token")
        node, path = 0, [0]
        for token in (*title, end):
            if token not in children[node]:
                children[node][token] = len(children)
                children.append({})
            node = children[node][token]
            path.append(node)
        owners[node] = owners.get(node, 0) + 1
        paths.append(path)
    return _flatten(titles, end, children, owners, paths)


def _flatten(
    titles: Sequence[Sequence[int]],
    end: int,
    children: list[dict[int, int]],
    owners: dict[int, int],
    paths: list[list[int]],
) -> TitleTrie:
    # Keep the branching nodes and what leads to them; the rest needs no look at the model.
    last_choice = [
        max((p for p, n in enumerate(path) if len(children[n]) > 1), default=0) for path in paths
    ]
    place: dict[int, tuple[int, int, int]] = {0: (0, -1, -1)}
    for title, path, last in zip(titles, paths, last_choice, strict=True):
        for depth in range(1, last + 1):
            place.setdefault(path[depth], (depth, path[depth - 1], title[depth - 1]))
    order = sorted(place, key=lambda n: (place[n][0], n))
    index = {node: i for i, node in enumerate(order)}

    edge_node: list[int] = []
    edge_token: list[int] = []
    edge_start: list[int] = []
    edge_of: dict[tuple[int, int], int] = {}
    for node in order:
        edge_start.append(len(edge_node))
        if len(children[node]) > 1:
            for token in sorted(children[node]):
                edge_of[node, token] = len(edge_node)
                edge_node.append(index[node])
                edge_token.append(token)
    edge_start.append(len(edge_node))

    longest = max(last_choice)
    inputs = torch.full((len(titles) + 1, longest), -1)
    choices = torch.full((len(titles) + 1, longest + 1), -1)
    taken: list[list[int]] = [[]]
    for item, (title, path, last) in enumerate(zip(titles, paths, last_choice, strict=True), 1):
        inputs[item, :last] = torch.tensor(title[:last], dtype=torch.long)
        tokens = (*title, end)
        edges = {
            p: edge_of[path[p], tokens[p]] for p in range(last + 1) if len(children[path[p]]) > 1
        }
        for position, edge in edges.items():
            choices[item, position] = edge
        taken.append(list(edges.values()))
    width = max(1, *(len(edges) for edges in taken))
    item_edges = torch.full((len(titles) + 1, width), len(edge_node))
    for item, edges_of_item in enumerate(taken):
        item_edges[item, : len(edges_of_item)] = torch.tensor(edges_of_item, dtype=torch.long)
    share = torch.tensor([1.0, *(float(owners[path[-1]]) for path in paths)], dtype=torch.float64)
    return TitleTrie(
        parent=torch.tensor([index.get(place[n][1], -1) for n in order]),
        token=torch.tensor([place[n][2] for n in order]),
        depth=torch.tensor([place[n][0] for n in order]),
        edge_node=torch.tensor(edge_node, dtype=torch.long),
        edge_token=torch.tensor(edge_token, dtype=torch.long),
        edge_start=torch.tensor(edge_start),
        item_edges=item_edges,
        item_inputs=inputs,
        item_choices=choices,
        log_share=-share.log(),
        total_positions=sum(len(title) + 1 for title in titles),
    )
