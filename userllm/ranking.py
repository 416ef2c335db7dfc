"""Ranks the catalogue for users, in the way that the settings ask for."""

from __future__ import annotations

import torch

from benchmark.types import Candidates, HistoryBatch, Ranking, rank_scores
from userllm.decoding import beam_search, chunks, top_k
from userllm.free_text import rank_by_free_text
from userllm.model import UserLLM


@torch.inference_mode()
def rank(model: UserLLM, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
    """Ranks by `settings.decoding`, as many users at a time as memory allows.

    `exact` scores every item. `top_k` gives the same first k and no more. `beam` and `free` may
    give fewer than k.
    """
    parts = []
    for rows in chunks(len(histories), model.trie.num_nodes):
        exclude = None if candidates.exclude is None else candidates.exclude[rows]
        some = Candidates(candidates.count, exclude)
        parts.append(_rank_some(model, histories.rows(rows), some, k))
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


def _rank_some(model: UserLLM, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
    settings, trie = model.settings, model.trie
    if settings.decoding == "free":
        return rank_by_free_text(model, histories, candidates, k)
    if settings.decoding == "exact":
        scores = model.catalogue_log_probs(trie, histories)
        return rank_scores(scores, candidates, k, log_probs=True)
    prompt, encoded = model.ask(histories)
    prior = model.prior(trie, encoded.at_latest())
    if settings.decoding == "top_k":
        found = top_k(model.llm, trie, prompt, k, candidates.exclude, prior)
    else:
        width = settings.beams
        found = beam_search(model.llm, trie, prompt, k, candidates.exclude, prior, width=width)
    return Ranking(found.ids, found.log_probs, complete=settings.decoding == "top_k")
