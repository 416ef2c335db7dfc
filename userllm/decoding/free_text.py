"""Ranking as the study describes it: beam search without constraint, matched to titles."""

from __future__ import annotations

import torch

from benchmark.types import Candidates, HistoryBatch, Ranking
from userllm.generation import likeliest_texts
from userllm.model import UserLLM


def rank_by_free_text(
    model: UserLLM, histories: HistoryBatch, candidates: Candidates, k: int
) -> Ranking:
    """Ranks by what the language model writes, likeliest text first.

    An answer counts for the first candidate, in catalogue order, whose title it is and that no
    better answer has named. Answers that are the title of no item, and titles of items that are
    no candidates, are left out of the ranking; the former are counted. A text that does not come
    to its end within the tokens of the longest title is no title.

    An item's score is the log-probability of the text that named it, with its end, among all
    texts: those of a user's items sum to less than one in probability, and mean nothing where
    there is no item.

    Args:
        model: With a catalogue; its settings say how many beams.
        histories: Of `B` users.
        candidates: What may be ranked.
        k: Cut-off; there are at most as many items as beams.
    """
    assert model.catalog is not None
    llm, beams = model.llm, model.settings.beams
    owners: dict[str, list[int]] = {}
    for item in range(1, len(model.catalog) + 1):
        owners.setdefault(" ".join(model.catalog.texts[item].split()), []).append(item)
    context, _ = model.read_histories(histories)
    leads = model.leads(histories, (histories.lengths - 1).unsqueeze(1))
    leads = leads.expand(len(histories), 1, -1)[:, 0]
    texts, log_probs = likeliest_texts(
        model,
        context,
        [[token for token in lead if token >= 0] for lead in leads.tolist()],
        beams=beams,
        longest=model.title_tokens.shape[1] + 1,
    )
    excluded = None if candidates.exclude is None else candidates.exclude.cpu()
    ids = torch.zeros(len(histories), k, dtype=torch.long)
    scores = torch.full(ids.shape, -torch.inf)
    strays = torch.zeros(len(histories))
    for user, answers in enumerate(zip(texts.tolist(), log_probs.tolist(), strict=True)):
        named: dict[int, float] = {}
        for tokens, log_prob in zip(*answers, strict=True):
            ended = llm.end_token in tokens
            title = tokens[: tokens.index(llm.end_token)] if ended else []
            text = " ".join(llm.tokenizer.decode(title, skip_special_tokens=True).split())
            mine = owners.get(text, []) if ended else []
            strays[user] += not mine
            free = [
                item
                for item in mine
                if item not in named and not (excluded is not None and excluded[user, item])
            ]
            named |= dict.fromkeys(free[:1], log_prob)
        count = min(k, len(named))
        ids[user, :count] = torch.tensor(list(named)[:k], dtype=torch.long)
        scores[user, :count] = torch.tensor(list(named.values())[:k])
    return Ranking(ids, scores, complete=False, strays=strays / beams)
