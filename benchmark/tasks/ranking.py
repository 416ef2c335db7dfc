"""Asks a method to rank, checks what it answers, and places the targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from benchmark.data.histories import Examples
from benchmark.errors import RunError
from benchmark.metrics.ranking import MISSED
from benchmark.protocols import CandidateRanker
from benchmark.tasks.sharing import as_of_all, from_all, own_share
from benchmark.types import Candidates, Ranking, masked_scores

UNKNOWN_RANK = -1
"""Stands for a rank that the method cannot know, or of a target that could not be ranked."""


@dataclass(frozen=True)
class Answers:
    """What a method answered to a set of examples.

    Attributes:
        ranked: `[n, K]` internal item ids, best first; 0 where there were fewer than K candidates.
        places: `[n]` rank of the target within `ranked`, 0 where it is not there.
        target_ranks: `[n]` exact rank among the candidates; -1 where the method cannot know it or
            the target was no candidate.
        target_logprobs: `[n]` log-probability of the target over the whole catalogue, before
            exclusion; NaN where the method has no distribution.
        first_logprobs: `[n]` that of the item ranked first, likewise.
        candidates_logprobs: `[n]` that of all candidates together: 0 where nothing is excluded.
        candidates: `[n]` how many items were ranked.
        strays: `[n]` share of the answers that are no item; NaN where all must be.
    """

    ranked: np.ndarray
    places: np.ndarray
    target_ranks: np.ndarray
    target_logprobs: np.ndarray
    first_logprobs: np.ndarray
    candidates_logprobs: np.ndarray
    candidates: np.ndarray
    strays: np.ndarray


def ask(
    method: CandidateRanker,
    examples: Examples,
    *,
    k: int,
    batch_size: int,
    exclude_seen: bool,
    name: str = "",
    on_batch: Callable[[int], None] | None = None,
) -> Answers:
    """Lets a method rank the catalogue for every example.

    Memory holds one batch of scores and the top k of all examples, never users × items.

    Args:
        method: Who answers. It gets histories of at most `method.history_length` latest events.
        examples: What is asked.
        k: Items kept of a ranking.
        batch_size: Examples asked at a time.
        exclude_seen: Whether items of the user's whole history are no candidates.
        name: The method's name, for errors.
        on_batch: Called with the number of examples done.

    Raises:
        RunError: The method answered with something that is no ranking of the candidates.
    """
    count = examples.log.schema.num_items
    k = min(k, count)
    name = name or type(method).__name__
    share, _ = own_share(examples)

    def answered() -> dict[str, np.ndarray]:
        parts: list[Answers] = []
        with torch.no_grad():
            for rows, histories in share.batches(batch_size, method.history_length):
                exclude = share.seen(rows) if exclude_seen else None
                candidates = Candidates(count, exclude)
                ranking = method.rank(histories, candidates, k)
                targets = torch.from_numpy(share.targets[rows].astype(np.int64))
                parts.append(place(ranking, candidates, targets, k, name))
                if on_batch is not None:
                    on_batch(as_of_all(rows.stop, share, examples))
        columns = [column.name for column in fields(Answers)] if parts else []
        return {own: np.concatenate([getattr(part, own) for part in parts]) for own in columns}

    columns = from_all(answered)
    if not columns:
        raise RunError("there is no example to rank for")
    return Answers(**columns)


def place(ranking: Ranking, candidates: Candidates, targets: Tensor, k: int, name: str) -> Answers:
    """Checks the ranking of one batch and finds its targets, `[B]`, in it."""
    rows = len(targets)
    exclude = candidates.exclude
    left = torch.full((rows,), candidates.count)
    if exclude is not None:
        left = left - exclude[:, 1:].sum(dim=1)
    ids = check_ranking(ranking, candidates, left, k, name)
    hits = ids == targets[:, None]
    places = torch.where(hits.any(dim=1), hits.int().argmax(dim=1) + 1, MISSED)
    # Without all scores the rank is known where the target made it into the list.
    ranks = torch.where(places > 0, places, UNKNOWN_RANK)
    logprobs = torch.full((3, rows), torch.nan, dtype=torch.float64)
    if ranking.all_scores is not None:
        scores = check_scores(ranking.all_scores.cpu(), candidates, rows, ranking.log_probs, name)
        ranks = target_ranks(scores, candidates, targets)
        within = torch.where((ranks > 0) & (ranks <= ids.shape[1]), ranks, MISSED)
        if not torch.equal(within, places):
            raise RunError(f"{name}: the items it ranked and its scores place a target differently")
        if ranking.log_probs:
            logprobs = _logprobs(scores, candidates, targets, ids)
    strays = torch.full((rows,), torch.nan) if ranking.strays is None else ranking.strays.cpu()
    columns = (ids, places, ranks, *logprobs, left, strays.double())
    return Answers(*(column.numpy() for column in columns))


def _logprobs(scores: Tensor, candidates: Candidates, targets: Tensor, ids: Tensor) -> Tensor:
    """Log-probabilities of targets, of the items ranked first and of all candidates, `[3, B]`."""
    own = scores.gather(1, targets[:, None])[:, 0].double()
    first = scores.gather(1, ids[:, :1])[:, 0].double()
    first = torch.where(ids[:, 0] > 0, first, torch.nan)
    if candidates.exclude is None:
        return torch.stack([own, first, torch.zeros_like(own)])
    return torch.stack([own, first, masked_scores(scores, candidates).double().logsumexp(dim=1)])


def target_ranks(scores: Tensor, candidates: Candidates, targets: Tensor) -> Tensor:
    """Exact rank of each target among the candidates, as `rank_scores` would place it.

    It is 1 + the number of candidates with a higher score + the number of those with the same
    score and a lower id.

    Args:
        scores: `FloatTensor[B, N + 1]`.
        candidates: What may be ranked.
        targets: `LongTensor[B]`.

    Returns:
        `LongTensor[B]`; -1 where the target is no candidate.
    """
    masked = masked_scores(scores, candidates)
    own = masked.gather(1, targets[:, None])
    earlier = torch.arange(masked.shape[1])[None, :] < targets[:, None]
    ranks = 1 + ((masked > own) | ((masked == own) & earlier)).sum(dim=1)
    return torch.where(own[:, 0] == -torch.inf, UNKNOWN_RANK, ranks)


def check_ranking(
    ranking: Ranking, candidates: Candidates, left: Tensor, k: int, name: str
) -> Tensor:
    """The ids of a ranking, `LongTensor[B, k]`, if they are what was asked for.

    Args:
        ranking: The answer.
        candidates: What may be ranked.
        left: `LongTensor[B]`, how many items may be ranked.
        k: How many of them are wanted.
        name: The method, for errors.

    Raises:
        RunError: They are not.
    """
    ids = ranking.ids.cpu()
    if ids.dim() != 2 or len(ids) != len(left) or ids.shape[1] < k or ids.is_floating_point():
        raise RunError(f"{name}: its ranking is {tuple(ids.shape)}, not {(len(left), k)} item ids")
    if ranking.scores.shape != ranking.ids.shape or torch.isnan(ranking.scores).any():
        raise RunError(f"{name}: its ranking lacks a score for every item, or a score is no number")
    ids = ids[:, :k].long()
    if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) > candidates.count):
        raise RunError(f"{name}: it ranked an item id outside of 1..{candidates.count}")
    wanted = torch.arange(k)[None, :] < left[:, None]
    if not ranking.complete:
        wanted = wanted & (torch.arange(k)[None, :] < (ids > 0).sum(dim=1, keepdim=True))
    if not torch.equal(ids > 0, wanted):
        raise RunError(f"{name}: it ranked fewer or more items than there are candidates")
    # Fillers (0) get ids of their own, below zero, so that only real ids can collide.
    filled = torch.where(ids > 0, ids, -1 - torch.arange(k)[None, :]).sort(dim=1).values
    if (filled[:, 1:] == filled[:, :-1]).any():
        raise RunError(f"{name}: it ranked an item twice")
    if candidates.exclude is not None and (candidates.exclude.gather(1, ids) & wanted).any():
        raise RunError(f"{name}: it ranked an item that is no candidate")
    scores = ranking.scores.cpu()[:, :k]
    if ((scores[:, 1:] > scores[:, :-1]) & wanted[:, 1:]).any():
        raise RunError(f"{name}: the items it ranked are not in the order of their scores")
    return ids


def check_scores(
    scores: Tensor, candidates: Candidates, rows: int, log_probs: bool, name: str
) -> Tensor:
    """The scores of all items, if they are numbers, and a distribution where they claim to be.

    Raises:
        RunError: They are not.
    """
    if scores.shape != (rows, candidates.count + 1):
        raise RunError(f"{name}: it scored {tuple(scores.shape)}, not every item of every user")
    if torch.isnan(scores[:, 1:]).any():
        raise RunError(f"{name}: a score is no number")
    if log_probs:
        total = scores[:, 1:].double().logsumexp(dim=1)
        if (total.abs() > 0.01).any():
            raise RunError(f"{name}: its log-probabilities do not sum to one over the catalogue")
    return scores
