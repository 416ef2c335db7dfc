"""USER-LLM without weights, against USER-LLM itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmark.cost.running import FlopCounter
from benchmark.data.division import Split
from benchmark.errors import UserError
from benchmark.outlines import ANSWERED, NEW_EVENT, READ_BY_LLM, STORED_READ, Question
from benchmark.protocols import LLM, PROJECTOR, USER_ENCODER
from benchmark.types import HistoryBatch
from tests.outlined import WIDTH, flops, outline_of, real_llm, request
from userllm.config import TransformerSettings, UserLLMSettings
from userllm.encoder.user_encoder import UserEncoder
from userllm.llm.language_model import LanguageModel
from userllm.llm.outline import LlmOutline
from userllm.model import UserLLM
from userllm.outline import UserOutline, outline

LENGTH = 12


@pytest.fixture(scope="module")
def real(world_split: Split) -> LanguageModel:
    return real_llm(world_split.train)


@pytest.fixture(scope="module")
def shape(real: LanguageModel) -> LlmOutline:
    return outline_of(real)


def encoder_of(split: Split, length: int) -> UserEncoder:
    size = TransformerSettings(width=48, layers=2, heads=2)
    return UserEncoder(split.train.schema.given, size, length).eval()


def histories(split: Split, length: int) -> HistoryBatch:
    examples = split.validation
    rows = (examples.stops - examples.starts >= length).nonzero()[0][:2]
    return examples.log.gather(examples.starts[rows], examples.stops[rows], length)


def make(split: Split, shape: LlmOutline, length: int = LENGTH, **given: Any) -> UserOutline:
    settings = UserLLMSettings.model_validate(given.pop("settings", {}))
    with torch.device("meta"):
        encoder = encoder_of(split, length)
    return outline(request(split.train, settings, shape, encoder=encoder, **given))


@pytest.mark.parametrize(
    "settings",
    [
        {"projector": {"latents": 3}, "fusion": {"every": 2, "feed_forward": False}},
        {"fusion": {"every": 1}},
        {"projector": {"latents": 3, "depth": 2}, "fusion": {"kind": "soft_prompt"}},
        {"recent_as_text": 2, "projector": {"latents": 4}},
    ],
    ids=["perceiver", "events", "soft_prompt", "recent"],
)
def test_it_counts_what_is_counted_while_the_model_reads(
    settings: dict[str, Any], world_split: Split, real: LanguageModel, shape: LlmOutline
) -> None:
    asked = histories(world_split, LENGTH).rows(slice(0, 1))
    model = UserLLM(
        encoder_of(world_split, LENGTH),
        real,
        UserLLMSettings.model_validate(settings),
        world_split.train.catalog,
    ).eval()
    model.schema = world_split.train.schema
    parts = {USER_ENCODER: model.encoder, PROJECTOR: model.projector, LLM: real.model.base_model}
    with torch.inference_mode(), FlopCounter() as counter, counter.within(parts):
        prompt, _ = model.ask(asked)
    own = make(world_split, shape, settings=settings)
    tokens = own.prompt_tokens(asked).tokens[0]
    assert tokens == (model.leads(asked, asked.lengths[:, None] - 1) >= 0).sum()
    question = Question(LENGTH, tokens, 0, 3)
    counted = flops(own, question)
    assert counted[USER_ENCODER] == pytest.approx(counter.parts[USER_ENCODER], rel=0.01)
    assert counted[PROJECTOR] == pytest.approx(counter.parts[PROJECTOR], rel=0.01)
    # A soft prompt is read under a mask, which counts whole; here causal order counts half.
    assert counted[READ_BY_LLM] == pytest.approx(counter.parts[LLM], rel=0.01)
    assert counted[STORED_READ] == counted[READ_BY_LLM]
    assert counted[NEW_EVENT] == counted[USER_ENCODER] + counted[PROJECTOR]
    kept = len(prompt.memory) * shape.kv_bytes(1)
    assert own.kv_bytes(question) == kept
    latents = settings.get("projector", {}).get("latents", LENGTH)
    assert own.stored_bytes(question) == 2 * WIDTH * latents


def test_tokens_do_not_grow_with_the_history(world_split: Split, shape: LlmOutline) -> None:
    for length in (1, 5, 12):
        own = make(world_split, shape, length=length, query_tokens=32)
        read = own.prompt_tokens(histories(world_split, length))
        assert list(read.tokens) == [32, 32]
        assert list(read.dropped) == [0, 0]


def test_each_token_of_an_answer_costs_a_pass_and_the_vocabulary(
    world_split: Split, shape: LlmOutline
) -> None:
    settings = {"projector": {"latents": 4}}
    own = make(world_split, shape, settings=settings)
    one, three = (flops(own, Question(LENGTH, 20, 0, n))[ANSWERED] for n in (1, 3))
    assert three == pytest.approx(3 * one, rel=0.01)
    read = flops(own, Question(LENGTH, 1, 0, 1))[READ_BY_LLM]
    vocabulary = shape.model.get_output_embeddings().weight.numel()
    assert one == pytest.approx(read + 2 * vocabulary, rel=0.05)
    head = make(world_split, shape, settings={"loss": "item_head"})
    items = world_split.train.schema.num_items + 1
    scored = flops(head, Question(LENGTH, 20, 0, 3))[ANSWERED]
    assert scored == 2 * 48 * (WIDTH + items)


def test_what_does_not_fit_together_is_refused(world_split: Split, shape: LlmOutline) -> None:
    for settings, message in (
        ({"fusion": {"heads": 7}}, "heads=7 must divide 96"),
        ({"fusion": {"every": 4}}, "every=4, but small has 3"),
        ({"query": "so many words " * 20}, "1 to 32 are allowed"),
    ):
        with pytest.raises(UserError, match=message):
            make(world_split, shape, settings=settings)
    with pytest.raises(UserError, match="a query of 33 tokens"):
        make(world_split, shape, query_tokens=33)
    soft = make(world_split, shape, settings={"fusion": {"kind": "soft_prompt"}}, length=5000)
    with pytest.raises(UserError, match="small has 4096"):
        soft.works(Question(5000, 20, 0, 3))
