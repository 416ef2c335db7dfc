from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from baselines.prompt_rows import PromptRows
from benchmark.schema import FeatureSchema, IdMap
from benchmark.types import Catalog, HistoryBatch
from tests.tiny_model import LENGTH, TITLES, WIDTH, make_catalog, make_histories
from userllm.config import TransformerSettings, UserLLMSettings
from userllm.decoding import catalogue_log_probs, choice_log_probs, read_prompt, text_prefix
from userllm.decoding.trie import TitleTrie
from userllm.encoder.user_encoder import UserEncoder
from userllm.history_text import HistoryText
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM

FIELDS = ["rating", "genres"]


def history_text(llm: LanguageModel, schema: FeatureSchema) -> HistoryText:
    catalog = Catalog(IdMap(str(n) for n in range(len(TITLES))), ("", *TITLES), {})
    titles = [llm.encode(f" {title}") for title in TITLES]
    return HistoryText(catalog, schema, FIELDS, llm, titles, "Next:")


def make_model(
    schema: FeatureSchema, read: tuple[str, ...], llm: LanguageModel, **changes: Any
) -> UserLLM:
    """A model over data of a schema, whose encoder reads some features of it."""
    torch.manual_seed(5)
    size = TransformerSettings(width=WIDTH, layers=1, heads=2, dropout=0.0)
    encoder = UserEncoder(schema.subset(read), size, LENGTH)
    settings = UserLLMSettings.model_validate({"fusion": {"heads": 2}, **changes})
    model = UserLLM(encoder, llm, settings, make_catalog()).eval()
    model.schema = schema
    for name, weight in model.named_parameters():
        if "gate" in name:
            torch.nn.init.constant_(weight, 0.2)
    return model


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
    lines = PromptRows(text, llm, items=LENGTH, longest=None, behind=0)
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
                rows = torch.tensor(lines.rows(history, [[]]))
                prompt = read_prompt(llm, query, 1, text_prefix(llm, rows))
                exact = catalogue_log_probs(llm, trie, prompt)
                item = packed.targets[number]
                assert item == batch.features["item"][row, cut]
                torch.testing.assert_close(got[number], exact[0, item].float(), atol=1e-4, rtol=0)
                number += 1
    assert number == len(packed.targets)


def test_what_is_written_is_the_data_sets_and_not_the_encoders(
    schema: FeatureSchema, llm: LanguageModel
) -> None:
    """What an encoder reads changes no prompt; what is to be written does."""
    histories, latest = make_histories([LENGTH, 3]), torch.tensor([[4], [2]])

    def made(read: tuple[str, ...], **settings: Any) -> UserLLM:
        return make_model(schema, read, llm, **{"recent_as_text": 3, **settings})

    def text(model: UserLLM) -> list[str]:
        leads = model.leads(histories, latest).flatten(0, 1)
        return [llm.tokenizer.decode(lead[lead >= 0]) for lead in leads]

    few, all_ = made(()), made(("rating", "genres"))
    assert text(few) == text(all_)
    assert few.columns_read == all_.columns_read == ("item", "rating", "genres")
    bare = made(("rating",), recent_fields=())
    assert bare.columns_read == ("item", "rating")
    assert text(bare) != text(few) != text(made((), recent_fields=("rating",)))
    assert all(" | " not in line for line in text(bare))
    assert made(("rating",), recent_fields=("genres",)).columns_read == schema.names
    nobody = made((), recent_as_text=0)
    assert nobody.columns_read == ("item",)


@pytest.mark.parametrize("column", ["item", "rating", "genres"])
def test_an_answer_follows_from_the_columns_that_the_model_claims_to_read_alone(
    column: str, schema: FeatureSchema, llm: LanguageModel
) -> None:
    histories = make_histories([LENGTH, 3])
    changed = torch.where(histories.features[column] > 0, 1, 0)
    others = HistoryBatch({**histories.features, column: changed}, histories.mask)
    unknown = torch.zeros_like(changed)
    without = HistoryBatch({**histories.features, column: unknown}, histories.mask)
    for settings in ({}, {"recent_as_text": 2}, {"recent_as_text": 2, "recent_fields": ()}):
        model = make_model(schema, ("rating",), llm, **settings)
        with torch.no_grad():
            before = model.catalogue_log_probs(model.trie, histories)
            for batch in (others, without):
                after = model.catalogue_log_probs(model.trie, batch)
                assert torch.equal(before, after) == (column not in model.columns_read)


def test_a_checkpoint_keeps_what_is_written(
    schema: FeatureSchema, llm: LanguageModel, tmp_path: Path
) -> None:
    model = make_model(schema, (), llm, recent_as_text=2, recent_fields=("genres",))
    model.save_pretrained(tmp_path / "saved")
    loaded = UserLLM.from_pretrained(tmp_path / "saved")
    assert loaded.columns_read == model.columns_read == ("item", "genres")
    histories, latest = make_histories([LENGTH, 3]), torch.tensor([[4], [2]])
    assert torch.equal(loaded.leads(histories, latest), model.leads(histories, latest))


def test_windows_that_do_not_fit_lose_their_oldest_events(
    llm: LanguageModel, schema: FeatureSchema, trie: TitleTrie
) -> None:
    text, batch = history_text(llm, schema), make_histories([LENGTH, 3])
    whole = text.packed(batch, trie)
    longest = whole.tokens.shape[1] - 1
    cut = text.packed(batch, trie, longest)
    assert cut.tokens.shape[1] <= longest
    assert 0 < len(whole.targets) - len(cut.targets) < LENGTH
    kept = len(cut.targets) - 2  # of the first row; the second, of three events, keeps both
    assert cut.targets[:kept].tolist() == batch.features["item"][0, -kept:].tolist()
    assert text.packed(batch, trie, whole.tokens.shape[1]).tokens.equal(whole.tokens)
