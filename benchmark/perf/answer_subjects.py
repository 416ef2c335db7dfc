"""What answers are timed on: USER-LLM and the text prompt around one untrained language model.

Speed does not depend on what weights say, so all of them are random, by seed. The harness reaches
the models through names, so everything of theirs is `Any` here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmark.protocols import TrainingData
from benchmark.registry import load
from benchmark.types import Candidates, HistoryBatch, Ranking, rank_scores

USER_LLM: Mapping[str, Mapping[str, Any]] = {
    "user_llm": {},
    "user_llm_perceiver_16": {"projector": {"latents": 16}},
}
"""Name -> settings of `user_llm` that are not the default."""

TEXT_PROMPT: Mapping[str, Mapping[str, Any]] = {
    "text_prompt": {},
    "text_prompt_titles": {"fields": []},
}
"""Name -> settings of `text_prompt` that are not the default, `items` left out."""

SEED = 0


@dataclass(frozen=True)
class Subject:
    """A method that reads histories of up to some length.

    Attributes:
        read: Reads all that stands before the first title, from the histories on.
        rank: The whole answer: every title's likelihood, and the best `k` of them.
        tokens: How many tokens the language model reads of each history before the first title.
        user_vectors: How many vectors of the user it reads beside them.
    """

    read: Callable[[HistoryBatch], object]
    rank: Callable[[HistoryBatch, Candidates, int], Ranking]
    tokens: Callable[[HistoryBatch], list[int]]
    user_vectors: int = 0


def subjects(train: TrainingData, llm: Any, length: int) -> dict[str, Subject]:
    """All methods at a length of the history, by name.

    Args:
        train: Items, and events that say which features there are.
        llm: From `untrained_llm`.
        length: Most events of a history.
    """
    user = {name: user_llm(train, llm, own, length) for name, own in USER_LLM.items()}
    text = {name: text_prompt(train, llm, own, length) for name, own in TEXT_PROMPT.items()}
    return {**user, **text}


def untrained_llm(train: TrainingData, settings: Mapping[str, Any]) -> Any:
    """The embedded language model with its tokenizer, as it is before its first step.

    Args:
        train: What it may know, which its tokenizer is made of.
        settings: Of `language_model`, what is not the default.
    """
    size: Any = load("userllm.config:LanguageModelSettings")
    size = size.model_validate(settings)
    texts: Any = load("userllm.llm.corpus:corpus")
    train_tokenizer: Any = load("userllm.llm.embedded:train_tokenizer")
    new_model: Any = load("userllm.llm.embedded:new_model")
    open_model: Any = load("userllm.llm.loading:load_language_model")
    tokenizer = train_tokenizer(texts(train.catalog, train.events), size.vocabulary)
    with tempfile.TemporaryDirectory(prefix="userllm-bench-perf-") as folder:
        new_model(tokenizer, size, SEED).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return open_model(str(Path(folder))).eval()


def user_llm(train: TrainingData, llm: Any, settings: Mapping[str, Any], length: int) -> Subject:
    """USER-LLM, whose encoder reads so many events; asked as its method asks.

    Args:
        train: See `subjects`.
        llm: See `subjects`.
        settings: Of `user_llm`, what is not the default.
        length: Most events of a history.
    """
    of_encoder: Any = load("userllm.config:UserEncoderSettings")
    of_model: Any = load("userllm.config:UserLLMSettings")
    new_encoder: Any = load("userllm.encoder.pretraining:new_encoder")
    build: Any = load("userllm.model:UserLLM")
    rank: Any = load("userllm.decoding.ranking:rank")
    reads = of_encoder.model_validate({"fit": {"history": length}})
    encoder = new_encoder(train.events, reads, SEED)
    torch.manual_seed(SEED)
    model = build(encoder, llm, of_model.model_validate(settings), train.catalog).eval()
    return Subject(
        read=model.ask,
        rank=lambda histories, candidates, k: rank(model, histories, candidates, k),
        tokens=lambda histories: [len(model.query)] * len(histories),
        user_vectors=model.settings.projector.latents or length,
    )


def text_prompt(train: TrainingData, llm: Any, settings: Mapping[str, Any], length: int) -> Subject:
    """The text prompt with so many events, asked as its method asks.

    Args:
        train: See `subjects`.
        llm: See `subjects`.
        settings: Of `text_prompt`, what is not the default.
        length: Most events of a history.
    """
    of_prompt: Any = load("baselines.text_prompt_config:TextPromptSettings")
    spoken_titles: Any = load("userllm.compatibility:spoken_titles")
    build_trie: Any = load("userllm.decoding.trie:build_trie")
    history_text: Any = load("userllm.history_text:HistoryText")
    prompt_rows: Any = load("baselines.prompt_rows:PromptRows")
    history_rows: Any = load("baselines.prompt_labels:history_rows")
    score_rows: Any = load("baselines.prompt_labels:score_rows")
    end_filled: Any = load("userllm.goals.examples:end_filled")
    text_prefix: Any = load("userllm.decoding:text_prefix")
    read_prompt: Any = load("userllm.decoding:read_prompt")
    chosen = of_prompt.model_validate({**settings, "items": length})
    titles = spoken_titles(train.catalog, llm)
    trie = build_trie(titles, llm.end_token)
    fields = train.schema.given.names[1:] if chosen.fields is None else chosen.fields
    text = history_text(train.catalog, train.schema, fields, llm, titles, chosen.query)
    behind = len(text.query) + int(trie.depth.max())
    rows = prompt_rows(text, llm, items=length, longest=None, behind=behind)
    query = torch.tensor(text.query)

    def read(histories: HistoryBatch) -> object:
        tokens = end_filled(history_rows(rows, histories))
        return read_prompt(llm, query, len(histories), text_prefix(llm, tokens))

    def rank(histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        scores = score_rows(llm, trie, query, history_rows(rows, histories))
        return rank_scores(scores, candidates, k, log_probs=True)

    return Subject(
        read=read,
        rank=rank,
        tokens=lambda histories: [len(row) + len(query) for row in history_rows(rows, histories)],
    )
