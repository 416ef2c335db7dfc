"""Texts under the language model: plain cross-entropy, and writing within bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmark.goals import Decoding
from benchmark.schema import FeatureSchema
from benchmark.types import HistoryBatch
from tests.tiny_model import make_histories
from tests.userllm.goal_world import make_log, text_goal
from tests.userllm.goals.test_label_goal import make_model
from userllm.encoder.user_encoder import UserEncoder
from userllm.goals.answers import write
from userllm.goals.goal_stages import Writing
from userllm.goals.text_goal import text_batch, text_batches, text_layout
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM
from userllm.muting import muted

KINDS: list[dict[str, Any]] = [
    {"fusion": {"heads": 2}},
    {"fusion": {"heads": 2, "kind": "soft_prompt"}},
    {"fusion": {"heads": 2, "kind": "soft_prompt"}, "projector": {"latents": 3}},
]
PROMPTS = ["Heat | 5 stars | Review:", "A | Review:", "Star Wars | 1 star | Review:"]
REFERENCES = ["a dull one", "what a joy it was to see it", "no"]


@pytest.mark.parametrize("fields", KINDS)
def test_without_the_user_it_is_the_language_models_own_loss(
    fields: dict[str, Any], encoder: UserEncoder, llm: LanguageModel
) -> None:
    model = make_model(encoder, llm, fields)
    leads = [llm.encode(prompt, begin=True) for prompt in PROMPTS]
    batch = text_batch(llm, make_histories([5, 1, 3]), leads, REFERENCES, longest=64)
    with torch.no_grad(), muted(model):
        loss = Writing(model).training_loss(batch)
    total, count = 0.0, 0
    for lead, reference in zip(leads, REFERENCES, strict=True):
        said = [*llm.encode(f" {reference}"), llm.end_token]
        tokens = torch.tensor([[*lead, *said]])
        wanted = torch.tensor([[*[-100] * len(lead), *said]])
        with torch.no_grad():
            total += float(llm.model(input_ids=tokens, labels=wanted).loss) * len(said)
        count += len(said)
    assert loss == pytest.approx(total / count, rel=1e-4)
    with torch.no_grad():
        assert Writing(model).training_loss(batch) != pytest.approx(float(loss), rel=1e-4)


def test_a_text_that_is_cut_has_no_end(llm: LanguageModel) -> None:
    leads = [llm.encode("A | Review:", begin=True)] * 2
    batch = text_batch(llm, make_histories([2, 2]), leads, ["no", REFERENCES[1]], longest=4)
    whole = llm.encode(f" {REFERENCES[1]}")
    assert len(whole) > 4
    assert batch.said[1].tolist() == [*whole[:4], -1]
    short = llm.encode(" no")
    assert batch.said[0, : len(short) + 1].tolist() == [*short, llm.end_token]
    assert (batch.said[0, len(short) + 1 :] == -1).all()


def test_a_history_ends_before_its_text(llm: LanguageModel, schema: FeatureSchema) -> None:
    log = make_log(schema)
    goal = text_goal(log)
    batch = next(text_batches(llm, log, goal, 6, 100, seed=0))
    known = {tuple(log.items[a:b].tolist()) for a, b in zip(goal.starts, goal.stops, strict=True)}
    assert {tuple(row) for row in batch.histories.features["item"].tolist()} == known


@torch.no_grad()
def likeliest(model: UserLLM, histories: HistoryBatch, prompt: str, longest: int) -> str:
    """Greedy decoding, the whole text read anew for each token as training reads it."""
    llm, tokens = model.llm, list[int]()
    lead = llm.encode(prompt, begin=True)
    while len(tokens) < longest:
        batch = replace(
            text_batch(llm, histories, [lead], [""], 1), texts=torch.tensor([tokens]).long()
        )
        context, _ = model.read_histories(histories)
        state = model.read(context, text_layout(batch).layout)[0, -1]
        token = int(llm.logits(state).argmax())
        if token == llm.end_token:
            break
        tokens.append(token)
    text: str = llm.tokenizer.decode(tokens, skip_special_tokens=True)
    return text.strip()


@pytest.mark.parametrize("fields", KINDS)
def test_writing_takes_the_likeliest_tokens_and_no_more_than_allowed(
    fields: dict[str, Any], encoder: UserEncoder, llm: LanguageModel
) -> None:
    model, histories = make_model(encoder, llm, fields), make_histories([5, 1, 3])
    texts = write(model, histories, PROMPTS, Decoding(longest=5))
    assert texts == [
        likeliest(model, histories.rows(slice(n, n + 1)), PROMPTS[n], 5) for n in range(3)
    ]
    alone = [
        write(model, histories.rows(slice(n, n + 1)), PROMPTS[n : n + 1], Decoding(longest=5))[0]
        for n in range(3)
    ]
    assert alone == texts
    assert not any(text.startswith(prompt) for text, prompt in zip(texts, PROMPTS, strict=True))


def test_what_a_checkpoint_says_of_writing_does_not_count(
    encoder: UserEncoder, llm: LanguageModel
) -> None:
    model, histories = make_model(encoder, llm, KINDS[0]), make_histories([5, 1, 3])
    texts = write(model, histories, PROMPTS, Decoding(longest=5))
    said = llm.encode("".join(texts))
    llm.model.generation_config.update(suppress_tokens=said, repetition_penalty=9.0, num_beams=2)
    assert write(model, histories, PROMPTS, Decoding(longest=5)) == texts


def test_drawing_follows_the_seed(encoder: UserEncoder, llm: LanguageModel) -> None:
    model, histories = make_model(encoder, llm, KINDS[0]), make_histories([5, 1, 3])

    def drawn(seed: int) -> list[str]:
        how = Decoding(longest=12, sample=True, temperature=2.0, top_p=0.99, seed=seed)
        return write(model, histories, PROMPTS, how)

    state = torch.get_rng_state()
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert torch.equal(state, torch.get_rng_state())
