"""Ranks the catalogue for users, in the way that the settings ask for."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmark.types import Candidates, HistoryBatch, Ranking, rank_scores
from userllm.decoding import beam_search, chunks, top_k
from userllm.decoding.free_text import rank_by_free_text
from userllm.model import UserLLM


@torch.inference_mode()
def rank(model: UserLLM, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
    """Ranks by `settings.decoding`, as many users at a time as memory allows; at least one.

    `exact` scores every item. `top_k` gives the same first k and no more. `beam` and `free` may
    give fewer than k. Scores are log-probabilities, nats: over the catalogue, or under `free` of
    the texts that named the items.

    The histories are read where the model is; the answer is on the processor.
    """
    parts = []
    for rows in user_chunks(model, len(histories)):
        exclude = None if candidates.exclude is None else candidates.exclude[rows]
        some = Candidates(candidates.count, exclude)
        parts.append(rank_at_once(model, histories.rows(rows), some, k))
    first = parts[0]
    scores = [part.all_scores for part in parts if part.all_scores is not None]
    strays = [part.strays for part in parts if part.strays is not None]
    return Ranking(
        torch.cat([part.ids for part in parts]),
        torch.cat([part.scores for part in parts]),
        torch.cat(scores) if scores else None,
        first.log_probs,
        first.complete,
        torch.cat(strays) if strays else None,
    )


def user_chunks(model: UserLLM, users: int) -> Iterator[slice]:
    """Cuts users into as many at a time as memory allows, by what is read for each."""
    settings = model.settings
    if settings.loss == "item_head":
        positions = len(model.query) + model.encoder.history
    elif settings.decoding == "free":
        positions = settings.beams * (len(model.query) + model.title_tokens.shape[1])
    else:
        positions = model.trie.num_nodes
    return chunks(users, positions)


@torch.inference_mode()
def rank_at_once(
    model: UserLLM, histories: HistoryBatch, candidates: Candidates, k: int
) -> Ranking:
    """Ranks for all users in one go; see `rank`."""
    histories = histories.to(model.llm.device)
    if candidates.exclude is not None:
        candidates = Candidates(candidates.count, candidates.exclude.cpu())
    decoding = model.settings.decoding
    if decoding == "free":
        return rank_by_free_text(model, histories, candidates, k)
    if decoding == "exact":
        every = model.catalogue_log_probs(None, histories).cpu()
        return rank_scores(every, candidates, k, log_probs=True)
    prompt, encoded = model.ask(histories)
    trie, prior = model.trie, model.prior(model.trie, encoded.at_latest())
    if decoding == "top_k":
        found = top_k(model.llm, trie, prompt, k, candidates.exclude, prior)
    else:
        width = model.settings.beams
        found = beam_search(model.llm, trie, prompt, k, candidates.exclude, prior, width=width)
    return Ranking(found.ids.cpu(), found.log_probs.cpu(), complete=decoding == "top_k")
