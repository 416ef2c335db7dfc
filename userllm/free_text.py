"""Ranking as the study describes it: beam search without constraint, matched to titles."""

from __future__ import annotations

import torch

from benchmark.types import Candidates, HistoryBatch, Ranking
from userllm.generation import continue_tokens
from userllm.model import UserLLM


def rank_by_free_text(
    model: UserLLM, histories: HistoryBatch, candidates: Candidates, k: int
) -> Ranking:
    """Ranks by what the language model writes, best beam first.

    An answer counts for the first candidate, in catalogue order, whose title it is and that no
    better answer has named. Answers that are the title of no item, and titles of items that are
    no candidates, are left out of the ranking; the former are counted.

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
    written = continue_tokens(
        model,
        context,
        [lead[lead >= 0].tolist() for lead in leads],
        num_beams=beams,
        num_return_sequences=beams,
        do_sample=False,
        max_new_tokens=model.title_tokens.shape[1] + 1,
        length_penalty=0.0,  # the likelihood itself, not its mean over tokens
        eos_token_id=llm.end_token,
    ).view(len(histories), beams, -1)
    ids = torch.zeros(len(histories), k, dtype=torch.long)
    scores = torch.arange(k, 0, -1, dtype=torch.float).expand(len(histories), -1)
    strays = torch.zeros(len(histories))
    for user, answers in enumerate(written.tolist()):
        named: list[int] = []
        for tokens in answers:
            title = tokens[: tokens.index(llm.end_token)] if llm.end_token in tokens else tokens
            text = " ".join(llm.tokenizer.decode(title, skip_special_tokens=True).split())
            strays[user] += text not in owners
            free = [
                item
                for item in owners.get(text, ())
                if item not in named
                and not (candidates.exclude is not None and candidates.exclude[user, item])
            ]
            named += free[:1]
        ids[user, : len(named[:k])] = torch.tensor(named[:k], dtype=torch.long)
    return Ranking(ids, scores, complete=False, strays=strays / beams)
