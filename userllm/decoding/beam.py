"""The ordinary constrained beam over the trie, to compare with: it may miss what it has dropped."""

from __future__ import annotations

import torch
from torch import Tensor

from userllm.decoding.frontier import Found, Frontier, Steps
from userllm.decoding.likelihood import Prior
from userllm.decoding.prompt import Prompt, TreeReader
from userllm.decoding.trie import TitleTrie
from userllm.llm.language_model import LanguageModel


def beam_search(
    llm: LanguageModel,
    trie: TitleTrie,
    prompt: Prompt,
    k: int,
    exclude: Tensor | None = None,
    prior: Prior | None = None,
    *,
    width: int,
) -> Found:
    """The items that a beam of `width` titles comes to, at most `k`, most probable first.

    All beams of a user go on by a token in step. One whose title is decided is kept as it is and
    takes up its place until something more probable drives it out.

    Args:
        llm: The language model.
        trie: The catalogue.
        prompt: One row a user.
        k: Cut-off.
        exclude: `BoolTensor[B, N + 1]`, True = leave this item out for this user; beginnings that
            lead to such items alone are not followed.
        prior: For `B` views, if any.
        width: Beams of a user.
    """
    frontier = Frontier(llm, trie, prompt, exclude, prior)
    if not len(trie.edge_token):
        return frontier.found(k)
    reader = TreeReader(llm, trie, prompt)
    if trie.branch[0] == 0:
        beams = _best(frontier.at_root(), width)
        node = trie.edge_child[beams.edge]
    else:
        users = torch.arange(len(prompt), device=trie.device)
        nothing = prompt.state.new_zeros(len(prompt))
        beams, node = Steps(users, torch.full_like(users, -1), nothing), torch.ones_like(users)
    while (node >= 0).any():
        going = node >= 0
        on, here = beams.pick(going), node[going]
        frontier.count(on.user)
        states = reader.read_some(on.user, here)
        branches = trie.branch[here] == here
        at = on.pick(branches)
        new = frontier.at(at.user, here[branches], states[branches], at.log_prob)
        straight = on.pick(~branches)
        every = [new, straight, beams.pick(~going)]
        goes_to = [
            trie.edge_child[new.edge],
            here[~branches] + 1,
            torch.full_like(every[2].edge, -1),
        ]
        together = Steps(*(torch.cat([getattr(s, f) for s in every]) for f in vars(new)))
        kept = _order(together, width)
        beams, node = together.pick(kept), torch.cat(goes_to)[kept]
    frontier.reach(beams)
    return frontier.found(k)


def _best(steps: Steps, width: int) -> Steps:
    return steps.pick(_order(steps, width))


def _order(steps: Steps, width: int) -> Tensor:
    """Places of the `width` most probable steps of each user, users ascending."""
    order = steps.log_prob.argsort(descending=True, stable=True)
    order = order[steps.user[order].argsort(stable=True)]
    user = steps.user[order]
    count = user.bincount()
    rank = torch.arange(len(user), device=user.device) - (count.cumsum(0) - count)[user]
    return order[rank < width]
