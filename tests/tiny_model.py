"""A tiny language model over a tiny catalogue, made once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.schema import Feature, FeatureKind, FeatureSchema, IdMap
from benchmark.types import Catalog, HistoryBatch
from userllm.config import TransformerSettings
from userllm.decoding.trie import TitleTrie, build_trie
from userllm.encoder.user_encoder import UserEncoder
from userllm.llm.embedded import train_tokenizer
from userllm.llm.language_model import LanguageModel

TITLES = [
    "Heat",
    "Heat Wave",
    "Heat",  # the same title for another item
    "Amélie",
    "七人の侍",
    "A",
    "Alien",
    "Aliens",
    "Star Wars",
    "Star Trek: The Motion Picture",
    "Star Trek: First Contact",
]
WIDTH, LENGTH = 16, 6


@pytest.fixture
def schema() -> FeatureSchema:
    return FeatureSchema(
        (
            Feature("item", FeatureKind.ID, len(TITLES)),
            Feature("rating", FeatureKind.CATEGORY, 5, labels=tuple("12345")),
            Feature("genres", FeatureKind.MULTI, 4, of_item=True, width=3, labels=tuple("abcd")),
        )
    )


@pytest.fixture
def llm() -> LanguageModel:
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = train_tokenizer(TITLES, 300)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():  # Fresh weights are so small that every token looks alike.
        for weight in model.parameters():
            weight.mul_(4)
    return LanguageModel(model, tokenizer, "tiny")


@pytest.fixture
def trie(llm: LanguageModel) -> TitleTrie:
    return build_trie([llm.encode(f" {title}") for title in TITLES], llm.end_token)


@pytest.fixture
def encoder(schema: FeatureSchema) -> UserEncoder:
    torch.manual_seed(2)
    settings = TransformerSettings(width=WIDTH, layers=2, heads=2, dropout=0.0)
    return UserEncoder(schema, settings, LENGTH).eval()


def make_catalog() -> Catalog:
    """The titles as a catalogue."""
    genres = np.zeros((len(TITLES) + 1, 3), np.int32)
    return Catalog(IdMap(f"i{n}" for n in range(len(TITLES))), ("", *TITLES), {"genres": genres})


def make_histories(lengths: list[int], seed: int = 0) -> HistoryBatch:
    """Random histories of given lengths, padded on the right to `LENGTH`."""
    rng = np.random.default_rng(seed)
    mask = torch.arange(LENGTH).unsqueeze(0) < torch.tensor(lengths).unsqueeze(1)
    shape = (len(lengths), LENGTH)
    item = torch.from_numpy(rng.integers(1, len(TITLES) + 1, shape)) * mask
    rating = torch.from_numpy(rng.integers(0, 6, shape)) * mask
    genres = torch.from_numpy(rng.integers(0, 5, (*shape, 3))) * mask.unsqueeze(2)
    return HistoryBatch({"item": item, "rating": rating, "genres": genres}, mask)
