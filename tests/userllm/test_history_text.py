from __future__ import annotations

import torch

from benchmark.schema import FeatureSchema, IdMap
from benchmark.types import Catalog, HistoryBatch
from tests.tiny_model import LENGTH, TITLES, make_histories
from userllm.decoding import catalogue_log_probs, choice_log_probs, read_prompt
from userllm.history_text import HistoryText
from userllm.llm import LanguageModel
from userllm.trie import TitleTrie

FIELDS = ["rating", "genres"]


def history_text(llm: LanguageModel, schema: FeatureSchema) -> HistoryText:
    catalog = Catalog(IdMap(str(n) for n in range(len(TITLES))), ("", *TITLES), {})
    titles = [llm.encode(f" {title}") for title in TITLES]
    return HistoryText(catalog, schema, FIELDS, llm, titles, "Next:")


def test_a_line_says_title_and_fields(
    llm: LanguageModel,
    schema: FeatureSchema,
) -> None:
    features = {
        "item": torch.tensor([[9, 1]]),
        "rating": torch.tensor([[4, 0]]),
        "genres": torch.tensor([[[1, 3, 0], [0, 0, 0]]]),
    }
    batch = HistoryBatch(features, torch.ones(1, 2, dtype=torch.bool))
    text = history_text(llm, schema)
    first, second = text.lines(batch)[0]
    assert llm.tokenizer.decode(first.title + first.rest) == " Star Wars | 4 | a, c\n"
    assert llm.tokenizer.decode(second.title + second.rest) == " Heat\n"


def test_training_scores_what_ranking_ranks(
    llm: LanguageModel,
    schema: FeatureSchema,
    trie: TitleTrie,
) -> None:
    text = history_text(llm, schema)
    batch = make_histories([LENGTH, 3])
    packed = text.packed(batch, trie)
    with torch.inference_mode():
        states = llm.hidden_states(llm.embed_tokens(packed.tokens))
        choices = packed.choices
        each = choice_log_probs(llm, trie, states[choices.row, choices.column], choices.edge)
        got = torch.zeros(len(packed.targets)).index_add(0, choices.owner, each)
        got = got + trie.log_share[packed.targets].float()
        number = 0
        for row, length in enumerate([LENGTH, 3]):
            for cut in range(1, length):
                features = {n: v[row : row + 1, :cut] for n, v in batch.features.items()}
                history = HistoryBatch(features, batch.mask[row : row + 1, :cut])
                query = torch.tensor(text.query)
                prompt = read_prompt(llm, query, 1, text.prefix(history))
                exact = catalogue_log_probs(llm, trie, prompt)
                item = packed.targets[number]
                assert item == batch.features["item"][row, cut]
                torch.testing.assert_close(got[number], exact[0, item].float(), atol=1e-4, rtol=0)
                number += 1
    assert number == len(packed.targets)
