"""The log-probability of every item, from reading every node of the trie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from userllm.decoding.likelihood import Prior
from userllm.decoding.prompt import Prompt, TreeReader
from userllm.decoding.trie import TitleTrie
from userllm.llm.language_model import LanguageModel

POSITIONS_AT_ONCE = 4096
"""Bounds the memory of ranking; larger batches are slower on a processor's caches."""

PIECE = 128
"""Nodes in a piece of the trie, roughly: attention costs a node as many keys as its piece has.

A piece costs a copy of its prompt, so pieces behind long prompts are larger, see `piece_size`.
"""


def chunks(users: int, positions: int) -> Iterator[slice]:
    """Cuts a batch so that the model reads about `POSITIONS_AT_ONCE` positions at once."""
    size = max(1, POSITIONS_AT_ONCE // max(1, positions))
    for begin in range(0, users, size):
        yield slice(begin, begin + size)


def like_lengths(lengths: Sequence[int], behind: int) -> Iterator[Tensor]:
    """Groups users by the length of their text; otherwise as `chunks`.

    Args:
        lengths: Tokens of each user's text.
        behind: Positions read behind it.

    Yields:
        `LongTensor[M]` users, those with the longest texts first.
    """
    order = torch.tensor(lengths).argsort(descending=True, stable=True)
    while len(order):
        size = max(1, POSITIONS_AT_ONCE // max(1, lengths[int(order[0])] + behind))
        yield order[:size]
        order = order[size:]


def piece_size(prompt: int) -> int:
    """Nodes in a piece of the trie behind a prompt of so many tokens."""
    return max(PIECE, min(prompt // 4, 3 * PIECE))


def cut_trie(trie: TitleTrie, size: int) -> tuple[Tensor, Tensor]:
    """Cuts the nodes below the root into runs of like length in depth-first order.

    All that the nodes of a run need outside of it are the nodes above its first one, which stand
    before the run and are read again. Runs begin at the highest node near their even share, so
    that there are few of those, and no piece needs another.

    Args:
        trie: The catalogue.
        size: About the most nodes of a run.

    Returns:
        Nodes `LongTensor[C, T]` of `C` pieces, filled up with -1, and `LongTensor[C + 1]` where
        the runs begin and the last one ends; both on the processor.
    """
    trie = trie.to(torch.device("cpu"))  # a loop over single numbers is no work for anything else
    nodes = trie.num_nodes
    share = (nodes - 1) / max(1, -(-(nodes - 1) // size))
    bounds, begin, pieces = [1], 1, []
    while begin < nodes:
        # The next run begins where the rest in even shares says, give or take a thirty-second.
        runs = max(1, round((nodes - begin) / share))
        near, slack = begin + round((nodes - begin) / runs), int(share / 32)
        low, high = max(begin + 1, near - slack), min(nodes, near + slack + 1)
        near_high = trie.depth[low:high] + (torch.arange(low, high) - near).abs() / nodes
        end = nodes if runs == 1 else low + int(near_high.argmin())
        above = (trie.stop[1:begin] > begin).nonzero()[:, 0] + 1
        pieces.append(torch.cat([above, torch.arange(begin, end)]))
        bounds.append(end)
        begin = end
    if not pieces:
        return torch.empty(0, 1, dtype=torch.long), torch.tensor(bounds)
    grid = torch.nn.utils.rnn.pad_sequence(pieces, batch_first=True, padding_value=-1)
    return grid, torch.tensor(bounds)


def catalogue_log_probs(
    llm: LanguageModel,
    trie: TitleTrie,
    prompt: Prompt,
    prior: Prior | None = None,
    *,
    piece: int | None = None,
    positions_at_once: int = POSITIONS_AT_ONCE,
) -> Tensor:
    """Exact log-probability `[B, N + 1]` of every item, nats.

    Column 0 is minus infinity; the others sum to one in probability.

    Args:
        llm: The language model.
        trie: The catalogue.
        prompt: One row a user.
        prior: For `B` views, if any.
        piece: Most nodes of a piece, see `cut_trie`; a smaller trie is read in one. None = as many
            as suit the prompt.
        positions_at_once: A pass holds about so many positions, those of the prompts counted, but
            at least one piece of every user.
    """
    users, before = len(prompt), len(prompt.memory)
    logits = prompt.state.new_empty(users, len(trie.edge_token))
    starts = trie.to(torch.device("cpu")).edge_start
    first = int(starts[1])
    logits[:, :first] = llm.token_logits(prompt.state, trie.edge_token[:first])
    pieces, bounds = cut_trie(trie, piece or piece_size(before))
    at_once = max(1, positions_at_once // (users * (before + pieces.shape[1])))
    place = torch.empty_like(trie.token)
    for begin in range(0, len(pieces), at_once):
        nodes = pieces[begin : begin + at_once].to(trie.device)
        reader = TreeReader(llm, trie, prompt.repeat(len(nodes)))
        states = reader.read(nodes.repeat(users, 1)).view(users, nodes.numel(), -1)
        real = nodes.flatten() >= 0
        place[nodes.flatten()[real]] = real.nonzero()[:, 0]
        runs = bounds[[begin, begin + len(nodes)]]
        edges = slice(*starts[runs].tolist())
        picked = states[:, place[trie.edge_node[edges]]]
        logits[:, edges] = llm.paired_logits(picked, trie.edge_token[edges])
    if prior is not None:
        logits = prior.volume * logits + prior.log_mass
    return trie.item_log_probs(trie.edge_log_softmax(logits))
