"""The catalogue's titles as a trie of tokens, and the distribution over items that it defines.

At a node only its children can come next. With the softmax taken over the children alone, nodes
with one child cost nothing, and the log-probability of a title is the sum over the branching
nodes on its path: a distribution over the catalogue that sums to one, comparable with the item
softmax of a model over ids. (The same loss is published as masked softmax loss, SIGIR 2025.)

Items with the same title share a leaf, and share its probability equally.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class TitleTrie:
    """Flat arrays of the trie, reduced to what the language model must be asked.

    A *node* here is a position that the model must read: the root, the branching nodes and what
    leads to them. Nodes are in depth-first order, node 0 is the root: what lies below a node
    follows it, and a node that does not branch is followed by its only child. An *edge* is a
    possible next token at a branching node.

    Attributes:
        token: `[P]` token that leads to the node; -1 at the root.
        depth: `[P]` tokens from the root.
        stop: `[P]` first node that neither is the node nor lies below it.
        edge_node: `[E]` node at which an edge leaves; edges of a node stand together.
        edge_token: `[E]` its token.
        edge_child: `[E]` the node it leads to; -1 where it decides the title.
        edge_start: `[P + 1]` first edge of each node.
        edge_items: `[E, 2]` where the items below it begin and end in `sorted_items`.
        sorted_items: `[N]` items in the order of their titles' tokens.
        item_edges: `[N + 1, S]` edges on the path of each item, filled up with `E`.
        item_inputs: `[N + 1, T]` tokens of the item up to its last branching node, filled with -1.
        item_choices: `[N + 1, T + 1]` edge chosen after reading so many of them; -1 = no choice.
        log_share: `[N + 1]` minus the log of how many items share the item's leaf.
        total_positions: Tokens in all titles, terminators counted: what scoring each title alone
            would ask for.
    """

    token: Tensor
    depth: Tensor
    stop: Tensor
    edge_node: Tensor
    edge_token: Tensor
    edge_child: Tensor
    edge_start: Tensor
    edge_items: Tensor
    sorted_items: Tensor
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
        return len(self.token)

    @property
    def device(self) -> torch.device:
        """Where all of its tensors are."""
        return self.token.device

    def to(self, device: torch.device) -> TitleTrie:
        """The same trie on a device; it is copied there once, however often it is asked for."""
        if device not in self._copies:
            values = [(field.name, getattr(self, field.name)) for field in fields(self)]
            with torch.inference_mode(False):  # training may read the copy that ranking has made
                moved: dict[str, Any] = {
                    n: x.to(device) for n, x in values if isinstance(x, Tensor)
                }
                copy = replace(self, **moved)
            self._copies[device] = copy
            vars(copy)["_copies"] = self._copies
        return self._copies[device]

    @cached_property
    def _copies(self) -> dict[torch.device, TitleTrie]:
        """The trie by device, this one among them; all of them share this."""
        return {self.device: self}

    @cached_property
    def choice_tokens(self) -> Tensor:
        """The distinct tokens of all edges, ascending."""
        return self.edge_token.unique()

    @cached_property
    def edge_choice(self) -> Tensor:
        """`LongTensor[E]`: place of each edge's token in `choice_tokens`."""
        return torch.searchsorted(self.choice_tokens, self.edge_token)

    @cached_property
    def branch(self) -> Tensor:
        """`LongTensor[P]`: the first branching node at or behind each node; -1 = none."""
        branching = self.edge_node.unique()
        place = torch.searchsorted(branching, torch.arange(self.num_nodes, device=self.device))
        return torch.cat([branching, branching.new_full((1,), -1)])[place]

    def reads(self, nodes: Tensor, others: Tensor) -> Tensor:
        """`BoolTensor[..., T, S]`: whether nodes `[..., T]` are, or lie below, others `[..., S]`.

        Nothing lies below -1, which may stand for no node in either.
        """
        stop = self.stop[others.clamp(min=0)].masked_fill(others < 0, -1).unsqueeze(-2)
        nodes = nodes.unsqueeze(-1)
        return (others.unsqueeze(-2) <= nodes) & (nodes < stop)

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
    if any(end in title for title in titles):
        raise ValueError("a title holds the closing token")
    lengths = np.array([len(title) + 1 for title in titles])
    tokens = np.full((len(titles), lengths.max()), -1)
    tokens[np.arange(lengths.max()) < lengths[:, None]] = np.concatenate(
        [(*title, end) for title in titles]
    )
    order = np.lexsort(tokens.T[::-1])  # stable: items of one title stay in the order of their ids
    return _flatten(tokens[order], lengths[order], order)


def _flatten(tokens: np.ndarray, lengths: np.ndarray, order: np.ndarray) -> TitleTrie:
    """The trie of sorted titles `[N, T]`, of which row r is item `order[r] + 1`.

    In sorted titles a node is the place (row, depth) at which a beginning first appears, and what
    lies below it are the rows up to the next node of the same depth or a smaller one.
    """
    rows, width = tokens.shape
    depths = np.arange(width + 1)
    shared = np.full(rows, -1)  # tokens shared with the row before; the root begins in row 0
    shared[1:] = np.cumprod(tokens[1:] == tokens[:-1], axis=1).sum(axis=1)
    shared[1:] = np.minimum(shared[1:], lengths[1:])
    inside = depths <= lengths[:, None]
    begins = inside & (depths > shared[:, None])
    number = begins.cumsum().reshape(begins.shape) - 1
    # The node on a row's path at each depth is the latest that began there.
    path = np.maximum.accumulate(np.where(begins, number, -1), axis=0)
    row, depth = begins.nonzero()
    above = path[row[1:], depth[1:] - 1]
    branches = np.bincount(above, minlength=len(row)) > 1

    # Keep the branching nodes and what leads to them; the rest needs no look at the model.
    last = np.where(inside & branches[path], depths, 0).max(axis=1)
    kept = np.zeros(len(row), dtype=bool)
    kept[path[depths <= last[:, None]]] = True
    index = np.where(kept, kept.cumsum() - 1, -1)
    ends = _ends(depth, rows, row)

    edges = branches[above].nonzero()[0] + 1
    edges = edges[np.argsort(above[edges - 1], kind="stable")]
    edge_node = index[above[edges - 1]]
    edge_of = np.full(len(row), -1)
    edge_of[edges] = np.arange(len(edges))

    item = order + 1
    longest = int(last.max())
    inputs = np.full((rows + 1, longest), -1)
    inputs[item] = np.where(depths[:longest] < last[:, None], tokens[:, :longest], -1)
    choices = np.full((rows + 1, longest + 1), -1)
    on_way = np.where(inside, edge_of[path], -1)[:, 1 : longest + 2]
    choices[item, : on_way.shape[1]] = on_way
    taken = np.take_along_axis(choices, np.argsort(choices < 0, axis=1, kind="stable"), axis=1)
    taken = taken[:, : max(1, int((choices >= 0).sum(axis=1).max()))]
    leaf = np.concatenate([[-1], path[np.arange(rows), lengths][np.argsort(order)]])
    share = np.bincount(leaf[1:])[leaf]
    share[0] = 1

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))

    node_row, node_depth = row[kept], depth[kept]
    read = np.where(node_depth > 0, tokens[node_row, np.maximum(node_depth, 1) - 1], -1)
    return TitleTrie(
        token=tensor(read),
        depth=tensor(node_depth),
        stop=tensor(_ends(node_depth, len(node_depth), np.arange(len(node_depth)))),
        edge_node=tensor(edge_node),
        edge_token=tensor(tokens[row[edges], depth[edges] - 1]),
        edge_child=tensor(index[edges]),
        edge_start=tensor(np.searchsorted(edge_node, np.arange(len(node_depth) + 1))),
        edge_items=tensor(np.stack([row[edges], ends[edges]], axis=1)),
        sorted_items=tensor(item),
        item_edges=tensor(np.where(taken < 0, len(edges), taken)),
        item_inputs=tensor(inputs),
        item_choices=tensor(choices),
        log_share=-torch.from_numpy(share).double().log(),
        total_positions=int(lengths.sum()),
    )


def _ends(depth: np.ndarray, total: int, place: np.ndarray) -> np.ndarray:
    """Place of the next node that does not lie below each, in depth-first order; `total` = none."""
    ends = np.full(len(depth), total)
    for deep in range(int(depth.max()) + 1):
        latest = np.flatnonzero(depth <= deep)  # the first such behind a node ends it
        mine = np.flatnonzero(depth == deep)
        after = np.searchsorted(latest, mine, side="right")
        found = after < len(latest)
        ends[mine[found]] = place[latest[after[found]]]
    return ends
