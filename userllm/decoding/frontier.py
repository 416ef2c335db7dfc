"""What a search over the trie has found so far: the choices at nodes that were read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.types import Candidates, rank_scores
from userllm.decoding.likelihood import Prior, log_mass, spread
from userllm.decoding.prompt import Prompt
from userllm.decoding.trie import TitleTrie
from userllm.llm.language_model import LanguageModel


@dataclass(frozen=True)
class Found:
    """What a search returns.

    Attributes:
        ids: `LongTensor[B, K]` items, best first, ties by lower id; 0 where there are fewer.
        log_probs: `FloatTensor[B, K]` their log-probabilities, nats; of no meaning at id 0.
        positions: `LongTensor[B]` nodes of the trie that the model read for each user, the root,
            which is the lead's last token, counted.
    """

    ids: Tensor
    log_probs: Tensor
    positions: Tensor


@dataclass(frozen=True)
class Steps:
    """Choices at nodes, one behind the other.

    Attributes:
        user: `LongTensor[M]`, ascending.
        edge: `LongTensor[M]` the edge taken.
        log_prob: `FloatTensor[M]` of everything up to and with that choice.
    """

    user: Tensor
    edge: Tensor
    log_prob: Tensor

    def pick(self, chosen: Tensor) -> Steps:
        """Some of them, by mask or place."""
        return Steps(self.user[chosen], self.edge[chosen], self.log_prob[chosen])


class Frontier:
    """Scores of the titles that a search has reached, and the way on from nodes it has read.

    Args:
        llm: The language model.
        trie: The catalogue.
        exclude: `BoolTensor[B, N + 1]`, True = leave this item out; None = none.
        prior: For `B` views, if any.
    """

    def __init__(
        self,
        llm: LanguageModel,
        trie: TitleTrie,
        prompt: Prompt,
        exclude: Tensor | None,
        prior: Prior | None,
    ) -> None:
        self.llm = llm
        self.trie = trie
        self.prompt = prompt
        self.prior = prior
        self.exclude = exclude = None if exclude is None else exclude.to(trie.device)
        shape = (len(prompt), trie.num_items + 1)
        self.scores = prompt.state.new_full(shape, -torch.inf)
        """`[B, N + 1]` log-probability of every item reached that is not left out."""
        self.positions = torch.ones_like(prompt.start)
        """`[B]`, see `Found`."""
        # Allowed items before each place in the order of titles: what is below an edge is a range.
        if exclude is None:
            self._before = torch.arange(shape[1], device=trie.device).expand(shape)
        else:
            self._before = exclude.new_zeros(shape, dtype=torch.long)
            self._before[:, 1:] = (~exclude[:, trie.sorted_items]).cumsum(dim=1)
        if not len(trie.edge_token):
            self.scores[:, 1:] = trie.log_share[1:].to(self.scores.dtype)
            self._leave_out()

    def at_root(self) -> Steps:
        """The choices at the root."""
        users, count = len(self.prompt), int(self.trie.edge_start[1])
        edge = torch.arange(count, device=self.trie.device).repeat(users)
        logits = self.llm.token_logits(self.prompt.state, self.trie.edge_token[:count])
        user = torch.arange(users, device=self.trie.device).repeat_interleave(count)
        return self._steps(user, edge, logits.flatten(), user, self.prompt.state.new_zeros(users))

    def at(self, user: Tensor, node: Tensor, states: Tensor, log_prob: Tensor) -> Steps:
        """The choices at branching nodes.

        Args:
            user: `LongTensor[M]`, ascending.
            node: `LongTensor[M]`.
            states: `[M, E]` after reading them.
            log_prob: `[M]` of the beginnings that they stand for.
        """
        row, edge = spread(self.trie.edge_start[node], self.trie.edge_start[node + 1])
        tokens = self.trie.edge_token[edge]
        logits = self.llm.paired_logits(states[row].unsqueeze(0), tokens)[0]
        return self._steps(user[row], edge, logits, row, log_prob)

    def _steps(
        self, user: Tensor, edge: Tensor, logits: Tensor, row: Tensor, log_prob: Tensor
    ) -> Steps:
        if self.prior is not None:
            logits = self.prior.volume * logits + self.prior.log_mass[user, edge]
        total = log_prob[row] + logits - log_mass(logits, row, len(log_prob))[row]
        begin, end = self.trie.edge_items[edge].T
        allowed = self._before[user, end] > self._before[user, begin]
        return Steps(user, edge, total).pick(allowed)

    def reach(self, steps: Steps) -> None:
        """Scores the items of choices that decide a title."""
        begin, end = self.trie.edge_items[steps.edge].T
        row, place = spread(begin, end)
        item = self.trie.sorted_items[place]
        share = self.trie.log_share[item].to(self.scores.dtype)
        self.scores[steps.user[row], item] = steps.log_prob[row] + share
        self._leave_out()

    def _leave_out(self) -> None:
        if self.exclude is not None:
            self.scores.masked_fill_(self.exclude, -torch.inf)

    def count(self, user: Tensor) -> None:
        """Notes users `LongTensor[M]` of positions read."""
        self.positions += user.bincount(minlength=len(self.positions))

    def found(self, k: int) -> Found:
        """The best `k` items reached."""
        ranking = rank_scores(self.scores, Candidates(self.trie.num_items, self.exclude), k)
        reached = ranking.scores > torch.finfo(ranking.scores.dtype).min
        return Found(ranking.ids * reached, ranking.scores, self.positions)
