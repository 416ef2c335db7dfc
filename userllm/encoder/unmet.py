"""Items that no training event has: tuning must not learn that they never come.

An encoder that reads items' text can mean an item that training has never met, and alignment
teaches the language model to say its title. A softmax over the whole catalogue would undo that in
tuning, where such an item is never the right answer. So it is left out of the softmax there;
where items are ranked, all of them compete.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from userllm.decoding import Prior
from userllm.decoding.trie import TitleTrie
from userllm.encoder.event_encoder import EventEncoder
from userllm.encoder.user_encoder import UserEncoder


def unmet_items(encoder: EventEncoder, items: np.ndarray) -> Tensor | None:
    """Items to leave out of tuning's softmax, `BoolTensor[N + 1]`; None = leave out none.

    Args:
        encoder: Only one that reads text can make anything of such items.
        items: Item ids of the training events.
    """
    if not isinstance(encoder, UserEncoder) or encoder.text is None:
        return None
    unmet = torch.ones(encoder.schema.num_items + 1, dtype=torch.bool)
    unmet[torch.from_numpy(np.unique(items))] = False
    unmet[0] = False
    return unmet if unmet.any() else None


def without_unmet(
    prior: Prior | None,
    trie: TitleTrie,
    unmet: Tensor | None,
    items: Tensor,
    drawn: Tensor | None = None,
) -> Prior | None:
    """A prior that forbids every edge of the trie below which all items are unmet.

    What is left is a distribution over the other items: an edge that becomes the only one of its
    node costs nothing. A target drawn from the encoder speaks of the whole catalogue, and so its
    view sees all of it: that teaches how often unmet items come, where the encoder knows.

    Args:
        prior: As it is otherwise; None = nothing is known of the items.
        trie: The catalogue.
        unmet: From `unmet_items`; None = all may be said, and `prior` is handed back.
        items: The views' items, `V` in all.
        drawn: `V` in all, True = drawn from the encoder; None = none.
    """
    if unmet is None:
        return prior
    unmet = unmet.to(trie.device)
    met = (~unmet)[trie.sorted_items].long().cumsum(0)
    met = torch.cat([met.new_zeros(1), met])
    below = met[trie.edge_items[:, 1]] - met[trie.edge_items[:, 0]]
    barred = torch.zeros(len(below), device=trie.device).masked_fill(below == 0, -torch.inf)
    added = barred.expand(items.numel(), -1)
    free = _free(unmet, items, drawn)
    if free.any():
        added = added.masked_fill(free.unsqueeze(1), 0)
    if prior is None:
        return Prior(added, barred.new_ones(()))
    return replace(prior, log_mass=prior.log_mass + added)


def among_met(
    log_probs: Tensor, unmet: Tensor | None, items: Tensor, drawn: Tensor | None = None
) -> Tensor:
    """Log-probabilities `[V, N + 1]` given that the item is none of the unmet ones.

    As `without_unmet` for a softmax over items. Those of unmet items are left as they are.

    Args:
        log_probs: Of the whole catalogue.
        unmet: From `unmet_items`; None = all may be said.
        items: The views' items, `V` in all.
        drawn: `V` in all, True = drawn from the encoder; None = none.
    """
    if unmet is None:
        return log_probs
    unmet = unmet.to(log_probs.device)
    rest = log_probs.masked_fill(unmet, -torch.inf).logsumexp(dim=1, keepdim=True)
    whole = unmet | _free(unmet, items, drawn).unsqueeze(1)
    return torch.where(whole, log_probs, log_probs - rest)


def _free(unmet: Tensor, items: Tensor, drawn: Tensor | None) -> Tensor:
    """Views that see the whole catalogue, `BoolTensor[V]`; an unmet target is always drawn."""
    free = unmet[items.flatten()]
    return free if drawn is None else free | drawn.flatten()
