"""What stands before every title of a user, read once, and the reading of trie nodes behind it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from userllm.decoding.layout import Prefix
from userllm.decoding.trie import TitleTrie
from userllm.llm.language_model import LanguageModel
from userllm.llm.memory import Memory

Attend = Callable[[Tensor], AbstractContextManager[None]]
"""Lets the language model see, while open, users `LongTensor[U]` otherwise than by its text.

Of a text with n times as many rows as there are users, row r belongs to user `r // n` of them.
"""


def text_alone(users: Tensor) -> AbstractContextManager[None]:
    """An `Attend` that shows nothing beside the text."""
    return nullcontext()


@dataclass(frozen=True)
class Prompt:
    """What the titles of each user continue.

    Attributes:
        memory: Of `R` rows and `S` tokens.
        visible: `BoolTensor[R, S]` which of them a title sees.
        start: `LongTensor[R]` position of a title's first token.
        state: `FloatTensor[R, E]` state that decides the first token.
        users: `LongTensor[U]` the users that the rows belong to, `R / U` rows each.
        attend: Opened around everything that the language model reads.
    """

    memory: Memory
    visible: Tensor
    start: Tensor
    state: Tensor
    users: Tensor
    attend: Attend

    def __len__(self) -> int:
        return len(self.state)

    def repeat(self, count: int) -> Prompt:
        """Each row `count` times."""
        return Prompt(
            self.memory.repeat(count),
            self.visible.repeat_interleave(count, dim=0),
            self.start.repeat_interleave(count),
            self.state.repeat_interleave(count, dim=0),
            self.users,
            self.attend,
        )


def read_prompt(
    llm: LanguageModel,
    lead: Tensor,
    users: int,
    prefix: Prefix | None = None,
    attend: Attend = text_alone,
) -> Prompt:
    """Reads a prefix and the lead behind it.

    Args:
        llm: The language model.
        lead: `LongTensor[G]` for all, or `LongTensor[B, G]` filled up with -1 at the front; at
            least one token each.
        users: `B`.
        prefix: With one view a user, if any.
        attend: What the language model sees beside the text.
    """
    lead = lead.to(llm.device).expand(users, -1)
    memory = llm.new_memory(users)
    everyone = torch.arange(users, device=lead.device)
    if prefix is None or prefix.keep is None:
        vectors, visible = _one_text(llm, prefix, lead)
        with attend(everyone):
            states = llm.hidden_states(vectors, None, None, memory)
        start = visible.sum(dim=1)
        return Prompt(memory, visible, start, states[everyone, start - 1], everyone, attend)
    real = lead >= 0
    vectors = llm.embed_tokens(lead.clamp(min=0))
    places = torch.arange(lead.shape[1], device=lead.device)
    keep = (places.unsqueeze(1) >= places) & real.unsqueeze(1)
    keep = keep | torch.eye(len(places), dtype=torch.bool, device=lead.device)
    positions = (real.cumsum(dim=1) - 1).clamp(min=0)
    begin = prefix.next_position
    sees = prefix.visible.expand(-1, len(places), -1)
    blind = sees.new_zeros(*prefix.vectors.shape[:2], len(places))
    above = torch.cat([prefix.keep, blind], dim=2)
    keep = torch.cat([above, torch.cat([sees, keep], dim=2)], dim=1)
    vectors = torch.cat([prefix.vectors, vectors], dim=1)
    positions = torch.cat([prefix.positions, begin + positions], dim=1)
    visible = torch.cat([prefix.visible[:, 0], real], dim=1)
    with attend(everyone):
        states = llm.hidden_states(vectors, keep.unsqueeze(1), positions, memory)
    return Prompt(memory, visible, positions[:, -1] + 1, states[:, -1], everyone, attend)


def _one_text(llm: LanguageModel, prefix: Prefix | None, lead: Tensor) -> tuple[Tensor, Tensor]:
    """Each lead directly behind any plain text before it: vectors `[B, S, E]`, and what is text.

    What is no text `[B, S]` stands at the end, where in causal order no token sees it, so that
    it can be read without a mask.
    """
    real, vectors = lead >= 0, llm.embed_tokens(lead[:, :0])
    length = real.new_zeros(len(lead), 1, dtype=torch.long)
    if prefix is not None:
        vectors, length = prefix.vectors, prefix.visible.sum(dim=2)
    visible = torch.arange(vectors.shape[1] + lead.shape[1], device=lead.device)
    ends = length + real.sum(dim=1, keepdim=True)
    visible = visible[: int(ends.max())] < ends
    vectors = F.pad(vectors, (0, 0, 0, visible.shape[1] - vectors.shape[1]))
    row, _ = real.nonzero(as_tuple=True)
    column = (length + real.cumsum(dim=1) - 1)[real]
    return vectors.index_put((row, column), llm.embed_tokens(lead[real])), visible


class TreeReader:
    """Reads nodes of the trie behind prompts; a node sees its prompt and the nodes above it.

    Args:
        llm: The language model.
        trie: The catalogue.
        prompt: Stays as it is.
    """

    def __init__(self, llm: LanguageModel, trie: TitleTrie, prompt: Prompt) -> None:
        self.llm = llm
        self.trie = trie
        self.prompt = prompt
        self._memory = prompt.memory.cut(len(prompt.memory))
        self._rows = torch.arange(len(prompt), device=prompt.start.device)
        self._nodes = self._rows.new_empty(len(prompt), 0)

    def read(self, nodes: Tensor) -> Tensor:
        """States `[R, T, E]` of nodes `LongTensor[R, T]` below the root; -1 = nothing there.

        The nodes above each are among the nodes given, in this call or an earlier one.
        """
        prompt, trie, rows = self.prompt, self.trie, self._rows
        self._nodes = torch.cat([self._nodes, nodes], dim=1)
        below = trie.reads(nodes, self._nodes)
        # What stands for nothing sees itself, or attention would divide by nothing.
        itself = torch.arange(nodes.shape[1], device=nodes.device)
        below[:, itself, itself - nodes.shape[1]] = True
        visible = prompt.visible[rows].unsqueeze(1).expand(-1, nodes.shape[1], -1)
        keep = torch.cat([visible, below], dim=2).unsqueeze(1)
        some = nodes.clamp(min=1)
        positions = prompt.start[rows].unsqueeze(1) + trie.depth[some] - 1
        vectors = self.llm.embed_tokens(trie.token[some])
        users = prompt.users if len(rows) == len(prompt) else prompt.users[rows]
        with prompt.attend(users):
            return self.llm.hidden_states(vectors, keep, positions, self._memory)

    def read_some(self, rows: Tensor, nodes: Tensor) -> Tensor:
        """States `[M, E]` of nodes `LongTensor[M]` in rows `LongTensor[M]`, which ascend.

        A row that is not among them is done and cannot be read again. One row a user.
        """
        here, row, count = rows.unique_consecutive(return_inverse=True, return_counts=True)
        # Copying the memory pays where it leaves out many rows.
        if len(here) <= 0.75 * len(self._rows):
            place = torch.searchsorted(self._rows, here)
            self._memory = self._memory.select(place)
            self._rows, self._nodes = here, self._nodes[place]
        row = torch.searchsorted(self._rows, here)[row]
        begin = count.cumsum(0) - count
        column = torch.arange(len(rows), device=rows.device) - begin.repeat_interleave(count)
        grid = nodes.new_full((len(self._rows), int(count.max())), -1)
        grid[row, column] = nodes
        return self.read(grid)[row, column]
