"""The text prompt without weights, against the prompt itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from baselines.prompt_outline import PromptOutline, outline
from baselines.prompt_rows import PromptRows
from baselines.text_prompt_config import TextPromptSettings
from benchmark.cost.running import FlopCounter
from benchmark.data.division import Split
from benchmark.errors import UserError
from benchmark.outlines import ANSWERED, NEW_EVENT, READ_BY_LLM, STORED_READ, Question
from benchmark.types import HistoryBatch
from tests.outlined import flops, outline_of, real_llm, request
from userllm.decoding import read_prompt
from userllm.decoding.layout import text_prefix
from userllm.history_text import HistoryText
from userllm.llm.corpus import item_title_tokens
from userllm.llm.language_model import LanguageModel
from userllm.llm.outline import LlmOutline

LENGTH = 10


@pytest.fixture(scope="module")
def real(world_split: Split) -> LanguageModel:
    return real_llm(world_split.train)


@pytest.fixture(scope="module")
def shape(real: LanguageModel) -> LlmOutline:
    return outline_of(real)


@pytest.fixture(scope="module")
def asked(world_split: Split) -> HistoryBatch:
    """Of different lengths."""
    examples = world_split.validation
    stops = examples.stops[:6] - [0, 3, 1, 8, 2, 0]
    return examples.log.gather(examples.starts[:6], stops, LENGTH)


def make(split: Split, shape: LlmOutline, fields: Any = None, **given: Any) -> PromptOutline:
    settings = TextPromptSettings(items=LENGTH, fields=fields)
    return outline(request(split.train, settings, shape, **given))


def writer(split: Split, llm: LanguageModel, fields: Any, behind: int = 0) -> PromptRows:
    """What writes the method's prompts."""
    data = split.train
    fields = data.schema.given.names[1:] if fields is None else fields
    titles = item_title_tokens(data.catalog, llm)
    text = HistoryText(data.catalog, data.schema, fields, llm, titles, TextPromptSettings().query)
    return PromptRows(text, llm, items=LENGTH, longest=None, behind=behind)


def rows_of(split: Split, llm: LanguageModel, fields: Any, asked: HistoryBatch) -> list[list[int]]:
    query = llm.encode(TextPromptSettings().query)
    return writer(split, llm, fields).rows(asked, [query] * len(asked))


@pytest.mark.parametrize("fields", [None, (), ("rating",), ("genres",)])
def test_it_counts_the_tokens_that_the_method_writes(
    fields: Any, world_split: Split, shape: LlmOutline, real: LanguageModel, asked: HistoryBatch
) -> None:
    rows = rows_of(world_split, real, fields, asked)
    own = make(world_split, shape, fields)
    read = own.prompt_tokens(asked)
    assert list(read.tokens) == [len(row) for row in rows]
    assert list(read.dropped) == [0] * len(rows)
    longer = make(world_split, shape, fields, query_tokens=32).prompt_tokens(asked)
    query = 1 + len(real.encode("Next:"))
    assert list(longer.tokens) == [len(row) - query + 32 for row in rows]
    lines = sum(len(row) - query for row in rows)
    assert own.event_tokens(asked) == pytest.approx(lines / int(asked.mask.sum()))
    called = {None: "full prompt", (): "compact prompt"}
    assert dict(own.labels) == ({"fields": called[fields]} if fields in called else {})


@torch.inference_mode()
def test_it_counts_what_is_counted_while_the_model_reads(
    world_split: Split, shape: LlmOutline, real: LanguageModel, asked: HistoryBatch
) -> None:
    (row,) = rows_of(world_split, real, None, asked.rows(slice(0, 1)))
    own = make(world_split, shape)
    question = Question(LENGTH, len(row), 9, 3)
    counted = flops(own, question)
    query = len(real.encode("Next:"))
    with FlopCounter() as counter:
        prefix = text_prefix(real, torch.tensor([row[:-query]]))
        prompt = read_prompt(real, torch.tensor(row[-query:]), 1, prefix)
    assert counted[READ_BY_LLM] == pytest.approx(counter.flops, rel=0.01)
    assert own.kv_bytes(question) == len(prompt.memory) * shape.kv_bytes(1)
    with FlopCounter() as counter:
        for step in range(3):
            keep = torch.ones(1, 1, 1, len(row) + step + 1, dtype=torch.bool)
            token, place = torch.tensor([[7]]), torch.tensor([[len(row) + step]])
            vectors = real.embed_tokens(token)
            real.logits(real.hidden_states(vectors, keep, place, prompt.memory)[:, 0])
    assert counted[ANSWERED] == pytest.approx(counter.flops, rel=0.01)


def test_with_the_history_stored_the_query_or_a_line_is_left_to_read(
    world_split: Split, shape: LlmOutline
) -> None:
    own = make(world_split, shape, query_tokens=20)
    question = Question(LENGTH, 520, 20, 3)
    counted = flops(own, question)
    assert counted[NEW_EVENT] == counted[STORED_READ]  # as many tokens behind as many
    assert own.stored_bytes(question) == shape.kv_bytes(500)
    own_read = flops(own, Question(LENGTH, 500, 20, 3))[READ_BY_LLM]
    assert own_read + counted[STORED_READ] == pytest.approx(counted[READ_BY_LLM], rel=1e-6)


def test_where_positions_are_few_whole_events_are_left_out_oldest_first(
    world_split: Split, real: LanguageModel, asked: HistoryBatch
) -> None:
    rows = rows_of(world_split, real, None, asked)
    places, query = max(len(row) for row in rows) - 20, len(real.encode("Next:"))
    few = outline_of(real_llm(world_split.train, max_position_embeddings=places))
    read = make(world_split, few, answer_tokens=4).prompt_tokens(asked)
    written = writer(world_split, few, None, behind=query + 4)
    counted = written.counted(asked, [[]] * len(asked))
    assert list(read.tokens) == [tokens + query for tokens in counted.tokens]
    assert list(read.dropped) == list(counted.dropped)
    assert 0 < sum(drop > 0 for drop in read.dropped) < len(rows)
    with pytest.raises(UserError, match=f"small has {places} positions"):
        make(world_split, few, answer_tokens=places)
