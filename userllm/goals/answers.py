"""What a USER-LLM answers beside rankings: how likely labels are, and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmark.goals import Decoding, Goal, LabelGoal, TextGoal
from benchmark.types import HistoryBatch
from userllm.decoding import catalogue_log_probs, chunks
from userllm.decoding.trie import TitleTrie
from userllm.generation import generate
from userllm.goals.label_goal import label_trie
from userllm.model import UserLLM
from userllm.training.modes import by_options_alone


def trie_of_labels(model: UserLLM, labels: Sequence[str]) -> TitleTrie:
    """The trie of some label names where the model is; built once.

    Raises:
        UserError: See `userllm.goals.label_goal.label_trie`.
    """
    names = tuple(labels)
    if names not in model.label_tries:
        model.label_tries[names] = label_trie(names, model.llm)
    return model.label_tries[names].to(model.llm.device)


def label_lead(model: UserLLM, query: str, histories: HistoryBatch) -> Tensor:
    """The text before a label: its query, behind the most recent items where asked for.

    Returns:
        `LongTensor[G]`, or `LongTensor[B, G]` filled up with -1 at the front.
    """
    own = torch.tensor(model.llm.encode(query, begin=True), device=model.llm.device)
    if not model.settings.recent_as_text:
        return own
    # The recent items are written before the query for titles: that of the label takes its place.
    latest = (histories.lengths - 1).unsqueeze(1)
    before = model.leads(histories, latest)[:, 0, : -len(model.llm.encode(model.settings.query))]
    asked = torch.tensor(model.llm.encode(query), device=model.llm.device)
    return torch.cat([before, asked.expand(len(before), -1)], dim=1)


def lead_tokens(
    model: UserLLM, histories: HistoryBatch, goal: Goal, prompts: Sequence[str] = ()
) -> list[int]:
    """How many tokens stand before the answer of each user, `B` numbers.

    Args:
        model: Reads them.
        histories: Of `B` users.
        goal: What is asked.
        prompts: `B` prompts, where texts are asked for.
    """
    if isinstance(goal, TextGoal):
        return [len(model.llm.encode(prompt, begin=True)) for prompt in prompts]
    if isinstance(goal, LabelGoal):
        lead = label_lead(model, goal.query, histories)
    else:
        lead = model.leads(histories, (histories.lengths - 1).unsqueeze(1))
    counts: list[int] = (lead >= 0).sum(dim=-1).reshape(-1).expand(len(histories)).tolist()
    return counts


@torch.inference_mode()
def label_log_probs(
    model: UserLLM, histories: HistoryBatch, query: str, labels: Sequence[str]
) -> Tensor:
    """Exact log-probability `[B, C]` of every label, nats, on the processor.

    The labels are a catalogue of their own: those of a user sum to one in probability, whatever
    `settings.loss` and `settings.decoding` say of items. An encoder's prior plays no part.

    Args:
        model: Fitted to say labels.
        histories: Of `B` users.
        query: What asks for the label.
        labels: `C` names.
    """
    trie = trie_of_labels(model, labels)
    positions = trie.num_nodes + model.encoder.history
    parts = []
    for rows in chunks(len(histories), positions):
        some = histories.rows(rows).to(model.llm.device)
        context, _ = model.read_histories(some)
        lead = label_lead(model, query, some)
        prompt = model.prompt(context, lead, depth=int(trie.depth.max()))
        parts.append(catalogue_log_probs(model.llm, trie, prompt)[:, 1:].cpu())
    return torch.cat(parts)


@torch.inference_mode()
def write(
    model: UserLLM, histories: HistoryBatch, prompts: Sequence[str], decoding: Decoding
) -> list[str]:
    """One text for each user behind a prompt, without white space around it.

    What the checkpoint of the language model says of sampling, penalties and ends does not count.

    Args:
        model: Fitted to write.
        histories: Of `B` users.
        prompts: `B` texts.
        decoding: How to write.
    """
    context, _ = model.read_histories(histories)
    options: dict[str, Any] = {
        "max_new_tokens": decoding.longest,
        "do_sample": decoding.sample,
        "eos_token_id": model.llm.end_token,
    }
    if decoding.sample:
        options |= {"temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
    with by_options_alone(model.llm):
        texts = generate(model, context, prompts, seed=decoding.seed, **options)
    return [text.strip() for text in texts]
