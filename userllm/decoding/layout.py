"""How training packs titles: several a user, one behind the other in one sequence.

A sequence holds, for one user, an optional *prefix* (soft prompt or history as text) and behind
it several *branches*, each of which sees its part of the prefix and itself, but no other branch.
A branch is a *lead* (the text before a title, such as the query) and one title.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from userllm.decoding.trie import TitleTrie
from userllm.llm.language_model import LanguageModel


@dataclass(frozen=True)
class Prefix:
    """What stands before the branches of each user.

    Attributes:
        vectors: `FloatTensor[B, S, E]` input embeddings.
        keep: `BoolTensor[B, S, S]` which prefix positions each prefix position sees; None = plain
            text, see `text_prefix`.
        visible: `BoolTensor[B, P, S]` which of them each view (see `Layout`) sees.
        positions: `LongTensor[B, S]` for the model's position embedding.
    """

    vectors: Tensor
    keep: Tensor | None
    visible: Tensor
    positions: Tensor

    @property
    def sees(self) -> Tensor:
        """`BoolTensor[B, S, S]`: `keep`, that of plain text too."""
        if self.keep is not None:
            return self.keep
        places = torch.arange(self.vectors.shape[1], device=self.vectors.device)
        return (places.unsqueeze(1) >= places).expand(len(self.vectors), -1, -1)

    @property
    def next_position(self) -> Tensor:
        """`LongTensor[B, P]`: position behind the last token that each view sees."""
        seen = self.positions.unsqueeze(1).masked_fill(~self.visible, -1)
        return seen.amax(dim=2) + 1


def text_prefix(
    llm: LanguageModel, rows: Tensor, views: int = 1, seen: Tensor | None = None
) -> Prefix | None:
    """Plain text as a prefix: a token sees itself and those before it, and views see its beginning.

    What fills rows up stands behind all that sees anything, so no mask is needed to hide it.

    Args:
        llm: Gives the embeddings.
        rows: `LongTensor[B, S]` tokens, filled up with -1 at the end.
        views: `P`.
        seen: `LongTensor[B, P]` how many tokens each view sees; None = all.

    Returns:
        None where the rows hold nothing.
    """
    if not rows.shape[1]:
        return None
    visible = (rows >= 0).unsqueeze(1).expand(-1, views, -1)
    places = torch.arange(rows.shape[1], device=rows.device)
    if seen is not None:
        visible = visible & (places < seen.unsqueeze(2))
    vectors = llm.embed_tokens(rows.clamp(min=0))
    return Prefix(vectors, None, visible, places.expand(len(rows), -1))


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


@dataclass(frozen=True)
class Packed:
    """Branches put one behind the other, and where their tokens came to stand.

    Attributes:
        layout: What the model reads.
        row: `LongTensor[M]` user of each token.
        column: `LongTensor[M]` its place in the layout.
        branch: `LongTensor[M]` its branch `b * P + p`.
        step: `LongTensor[M]` tokens read after the lead: 0 at the lead's last, below in the lead.
    """

    layout: Layout
    row: Tensor
    column: Tensor
    branch: Tensor
    step: Tensor

    def pick(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Row, column and branch of some tokens."""
        return self.row[chosen], self.column[chosen], self.branch[chosen]


def pack(lead: Tensor, inputs: Tensor, kept: Tensor) -> Packed:
    """Packs the branches of each user: of every view the lead, then its own tokens.

    Args:
        lead: `LongTensor[G]` for all, or `LongTensor[B, P, G]` filled up with -1 at the front; at
            least one token each.
        inputs: `LongTensor[B, P, I]` tokens behind the lead, filled up with -1 at the end.
        kept: `BoolTensor[B, P]`, False = leave this view out.
    """
    users, views = kept.shape
    device = kept.device
    inputs = inputs.flatten(0, 1)
    lead = lead.expand(users, views, -1).flatten(0, 1)
    filling = (lead < 0).sum(dim=1)
    leads = lead.shape[1] - filling
    lengths = torch.where(kept, (leads + (inputs >= 0).sum(dim=1)).view_as(kept), 0)
    total = lengths.sum(dim=1)
    width = int(total.max())
    flat = lengths.flatten()
    branch = torch.repeat_interleave(torch.arange(users * views, device=device), flat)
    offset = torch.arange(len(branch), device=device) - (flat.cumsum(0) - flat)[branch]
    row = branch // views
    column = torch.arange(len(branch), device=device) - (total.cumsum(0) - total)[row]

    read = torch.cat([lead, inputs], dim=1)
    tokens = read.new_zeros(users, width)
    tokens[row, column] = read[branch, filling[branch] + offset]
    view = read.new_full((users, width), -1)
    view[row, column] = branch % views
    place = read.new_zeros(users, width)
    place[row, column] = offset
    same = (view.unsqueeze(2) == view.unsqueeze(1)) & (place.unsqueeze(2) >= place.unsqueeze(1))
    layout = Layout(tokens, view.clamp(min=0), place, same)
    return Packed(layout, row, column, branch, offset - (leads - 1)[branch])


def title_layout(
    trie: TitleTrie, lead: Tensor, items: Tensor, kept: Tensor
) -> tuple[Layout, Choices]:
    """Packs one title a view: the lead, then the title up to its last branching node.

    Args:
        trie: The catalogue.
        lead: See `pack`.
        items: `LongTensor[B, P]`.
        kept: `BoolTensor[B, P]`, False = leave this view out.
    """
    packed = pack(lead, trie.item_inputs[items], kept)
    step = packed.step
    edge = trie.item_choices[items].flatten(0, 1)[packed.branch, step.clamp(min=0)]
    decides = (step >= 0) & (edge >= 0)
    row, column, branch = packed.pick(decides)
    return packed.layout, Choices(row, column, edge[decides], branch)


def branch_states(llm: LanguageModel, layout: Layout, prefix: Prefix | None = None) -> Tensor:
    """Last hidden states `[B, T, E]` of the branches."""
    vectors = llm.embed_tokens(layout.tokens)
    if prefix is None:
        return llm.hidden_states(vectors, layout.keep.unsqueeze(1), layout.offset)
    length = prefix.vectors.shape[1]
    sees = prefix.visible.gather(1, layout.view.unsqueeze(2).expand(-1, -1, length))
    blind = sees.new_zeros(len(sees), length, sees.shape[1])
    above = torch.cat([prefix.sees, blind], dim=2)
    keep = torch.cat([above, torch.cat([sees, layout.keep], dim=2)], dim=1)
    start = prefix.next_position.gather(1, layout.view)
    positions = torch.cat([prefix.positions, start + layout.offset], dim=1)
    states = llm.hidden_states(
        torch.cat([prefix.vectors, vectors], dim=1), keep.unsqueeze(1), positions
    )
    return states[:, length:]
