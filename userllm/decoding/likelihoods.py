"""What training maximises: the likelihood of an item, in the three ways of `loss`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from userllm.decoding import Prior, title_layout, title_log_probs
from userllm.decoding.layout import pack
from userllm.encoder.unmet import among_met
from userllm.fusion import UserContext
from userllm.model import UserLLM


def item_likelihood(
    model: UserLLM,
    context: UserContext,
    lead: Tensor,
    items: Tensor,
    kept: Tensor,
    prior: Prior | None = None,
    unmet: Tensor | None = None,
    drawn: Tensor | None = None,
) -> Tensor:
    """Log-probability `[B, P]` of one item for each view, nats, differentiable.

    `trie` and `item_head` sum to one over the catalogue; `token` sums to one over all texts.

    Args:
        model: What reads; its settings say which likelihood.
        context: `B` users with `P` views each.
        lead: See `UserLLM.leads`.
        items: `LongTensor[B, P]`.
        kept: `BoolTensor[B, P]`; where False the result means nothing.
        prior: From `UserLLM.prior`, for `B * P` views.
        unmet: Items that an item head leaves out, see `userllm.encoder.unmet`; None = none. A
            trie's are left out by the prior.
        drawn: `BoolTensor[B, P]` items drawn from the encoder, whose views see all items.
    """
    if model.settings.loss == "item_head":
        return _by_item_head(model, context, lead, items, kept, unmet, drawn)
    if model.settings.loss == "token":
        return _by_tokens(model, context, lead, items, kept)
    layout, choices = title_layout(model.trie, lead, items, kept)
    states = model.read(context, layout)
    return title_log_probs(model.llm, model.trie, states, choices, items, prior)


def _by_item_head(
    model: UserLLM,
    context: UserContext,
    lead: Tensor,
    items: Tensor,
    kept: Tensor,
    unmet: Tensor | None,
    drawn: Tensor | None,
) -> Tensor:
    packed = pack(lead, items.new_zeros(*items.shape, 0), kept)
    row, column, branch = packed.pick(packed.step == 0)
    states = model.read(context, packed.layout)[row, column]
    said = items.flatten()[branch]
    drawn = None if drawn is None else drawn.flatten()[branch]
    log_probs = among_met(model.item_log_probs(states), unmet, said, drawn)
    log_probs = log_probs.gather(1, said.unsqueeze(1))[:, 0]
    return log_probs.new_zeros(items.numel()).index_add(0, branch, log_probs).view_as(items)


def _by_tokens(
    model: UserLLM, context: UserContext, lead: Tensor, items: Tensor, kept: Tensor
) -> Tensor:
    """Plain next-token cross-entropy of title and end, over the whole vocabulary."""
    titles = model.title_tokens.to(items.device)[items]
    packed = pack(lead, titles, kept)
    row, column, branch = packed.pick(packed.step >= 0)
    states = model.read(context, packed.layout)[row, column]
    ends = F.pad(titles.flatten(0, 1), (0, 1), value=-1)[branch, packed.step[packed.step >= 0]]
    said = ends.masked_fill(ends < 0, model.llm.end_token)
    loss = F.cross_entropy(model.llm.logits(states).float(), said, reduction="none")
    return (
        torch.zeros_like(loss[:1]).expand(items.numel()).index_add(0, branch, -loss).view_as(items)
    )
