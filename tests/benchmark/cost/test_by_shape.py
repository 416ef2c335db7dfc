"""Cost by shapes alone: the study's reference design, and how a row comes about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.config import Layers
from benchmark.cost.by_shape import CostRequest, CostRow, cost_rows
from benchmark.cost.drawn_histories import drawn_histories
from benchmark.cost.reference import reference
from benchmark.data.division import Split
from benchmark.errors import UserError
from benchmark.schema import ITEM
from benchmark.settings import check_names
from benchmark.tables import Tables, default_tables
from benchmark.variants import Variant

TABLES = default_tables()


def variants(method: str, lengths: tuple[int, ...]) -> list[Variant]:
    path = {"text_prompt": "items"}.get(TABLES.section(method))
    section = "text_prompt" if path else "user_encoder"
    return [
        Variant(
            method,
            {section: {"items": length} if path else {"fit": {"history": length}}},
            {"seq_len": length},
        )
        for length in lengths
    ]


def asked(
    *rows: Variant, sets: Mapping[str, Any] | None = None, tables: Tables = TABLES, **given: Any
) -> list[CostRow]:
    request = {"dataset": "synthetic", "task": "next_item", "llm_config": "llama-3.2-1b", **given}
    return cost_rows(
        CostRequest(variants=rows, layers=Layers({}, {}, sets or {}), tables=tables, **request)
    )


def read(row: CostRow) -> float:
    assert row.cost is not None, row.na
    assert row.cost.prompt_flops is not None
    return row.cost.prompt_flops


@pytest.fixture(scope="module")
def study() -> dict[tuple[str, int], CostRow]:
    """The study's reference design on ml-100k at the shape of Llama 3.2 1B."""
    pytest.importorskip("recbole")
    methods = {"user_llm": (10, 200, 2500), "text_prompt": (10, 200, 2500, 10_000)}
    methods["text_prompt_titles"] = (200,)
    chosen = [own for name, lengths in methods.items() for own in variants(name, lengths)]
    rows = asked(*chosen, dataset="ml-100k")
    return {(row.method, row.axes["seq_len"]): row for row in rows}


def test_reading_costs_a_text_prompt_what_the_issue_demands(
    study: dict[tuple[str, int], CostRow],
) -> None:
    for length, least in ((200, 78), (2500, 1000)):
        ours, text = study["user_llm", length], study["text_prompt", length]
        assert read(text) / read(ours) > least
        assert text.variant == "full prompt"
        assert ours.cost is not None
        assert ours.cost.prompt_flops == pytest.approx(
            ours.cost.user_encoder_flops + ours.cost.projector_flops + ours.cost.llm_prompt_flops
        )
    compact = study["text_prompt_titles", 200]
    assert compact.variant == "compact prompt"
    assert read(study["user_llm", 200]) < read(compact) < read(study["text_prompt", 200])


def test_tokens_of_a_user_do_not_grow_and_those_of_a_text_do(
    study: dict[tuple[str, int], CostRow],
) -> None:
    tokens = {key: row.cost.llm_input_tokens for key, row in study.items() if row.cost}
    assert {tokens["user_llm", length] for length in (10, 200, 2500)} == {32}
    assert study["user_llm", 2500].cost.llm_input_tokens_max == 32
    assert 15 < tokens["text_prompt", 200] / tokens["text_prompt", 10] < 20
    kept = {key: row.cost.kv_cache_bytes for key, row in study.items() if row.cost}
    assert kept["user_llm", 200] == 32 * 16 * 2 * 8 * 64 * 2
    assert kept["text_prompt", 200] == round(tokens["text_prompt", 200]) * 16 * 2 * 8 * 64 * 2


def test_what_is_stored_is_billed_apart(study: dict[tuple[str, int], CostRow]) -> None:
    ours, text = study["user_llm", 200].cost, study["text_prompt", 200].cost
    assert ours is not None
    assert text is not None
    assert ours.billed["stored"].bytes_per_user == 16 * 2048 * 2
    assert text.billed["stored"].bytes_per_user > 1000 * ours.billed["stored"].bytes_per_user
    assert ours.billed["new_event"].flops == ours.encoder_flops
    assert text.billed["stored"].flops < text.billed["at_question"].flops / 50


def test_a_prompt_beyond_the_positions_loses_its_oldest_events(
    study: dict[tuple[str, int], CostRow],
) -> None:
    long = study["text_prompt", 10_000].cost
    assert long is not None
    assert long.llm_input_tokens_max <= 131_072
    assert long.truncated_users == 1
    assert long.dropped_events > 0
    (row,) = asked(*variants("text_prompt", (200,)), llm_config="gpt2")
    assert row.cost is not None
    assert row.cost.llm_input_tokens_max <= 1024
    assert row.cost.truncated_users > 0


def test_settings_decide_and_are_told(world: object) -> None:
    plain, wide = (
        asked(*variants("user_llm", (10,)), sets=sets, llm_config="gpt2", answer_tokens=2)[0]
        for sets in ({}, {"user_llm": {"projector": {"latents": 64}}})
    )
    assert read(wide) > read(plain)
    assert (plain.variant, wide.variant) == ("", "projector.latents=64")
    assert plain.settings["user_llm.projector.latents"] == 16
    assert plain.settings["user_llm.fusion.feed_forward"] is False
    assert plain.settings["user_encoder.transformer.layers"] == 6
    assert plain.settings["user_encoder.fit.history"] == 10
    assert plain.settings["query_tokens"] == 32
    assert plain.settings["answer_tokens"] == 2
    assert plain.tokenizer.startswith("embedded BPE of ")
    printed = json.loads(json.dumps(plain.to_json()))
    assert printed["axes"] == {"seq_len": 10}
    assert printed["cost"]["llm_input_tokens"] == 32
    assert "na" not in printed


def test_queries_and_causal_attention_may_be_counted_otherwise() -> None:
    rows = variants("text_prompt", (50,))
    half, whole, short = (
        asked(*rows, llm_config="gpt2", **own)[0]
        for own in ({}, {"causal": 1.0}, {"query_tokens": 8})
    )
    assert read(half) < read(whole)
    assert half.cost.llm_input_tokens - short.cost.llm_input_tokens == 24


def test_a_row_says_why_it_has_no_cost() -> None:
    rows = asked(
        Variant("sasrec"),
        Variant("no_history"),
        *variants("user_llm", (10,)),
        Variant("user_llm", {"user_llm": {"fusion": {"every": 13}}}, {"user_llm.fusion.every": 13}),
        Variant("user_llm", {"user_llm": {"encoder": "dual_encoder"}}),
        llm_config="gpt2",
    )
    assert rows[0].na == "reads no text: it has no language model"
    assert rows[1].na == "no_history cannot rank items"
    assert rows[2].cost is not None
    assert "every=13, but gpt2 has 12" in rows[3].na
    assert rows[4].cost is not None
    assert rows[0].to_json()["na"]
    assert "cost" not in rows[0].to_json()
    (other,) = asked(*variants("user_llm", (10,)), task="review_generation", llm_config="gpt2")
    assert "by shapes alone next_item is counted" in other.na


def test_what_fits_no_row_is_an_error() -> None:
    for given, message in (
        ({"llm_config": "gpt3"}, "did you mean 'gpt2'"),
        ({"sets": {"user_llm": {"fusion": {"heads": 7}}}}, "heads=7 must divide"),
        ({"tokenizer": Path("nowhere")}, "--tokenizer nowhere"),
        ({"dataset": "ml"}, "unknown data set"),
        ({"task": "next"}, "unknown task"),
        ({"sets": {"user_encoder": {"item_text": True}}}, "item_text needs the weights"),
    ):
        with pytest.raises(UserError, match=message):
            asked(*variants("user_llm", (10,)), **{"llm_config": "gpt2", **given})


def test_the_reference_design_names_settings_that_there_are() -> None:
    for section, values in reference().settings.items():
        check_names(TABLES.settings_model(section), values, section)


def test_drawn_histories_end_with_what_users_did(world_split: Split) -> None:
    examples, train = world_split.validation.sample(5, 0), world_split.train.events
    (short,), (long,) = (list(drawn_histories(examples, train, n, 3)) for n in (30, 60))
    assert long.mask.all()
    assert long.mask.shape == (5, 60)
    for name, values in short.features.items():
        assert np.array_equal(values, long.features[name][:, 30:]), name
    real = examples.log.gather(examples.starts, examples.stops, 4)
    for name, values in real.features.items():
        assert np.array_equal(values, long.features[name][:, -4:]), name
    items = long.features[ITEM]
    assert items.min() >= 1
    assert items.max() <= train.schema.num_items
    assert np.array_equal(long.features["genres"], train.item_columns["genres"][items])
    other = next(drawn_histories(examples, train, 60, 4)).features[ITEM]
    assert not np.array_equal(other, items)
    one = next(drawn_histories(examples.only(np.array([2])), train, 60, 3)).features[ITEM]
    assert np.array_equal(one[0], items[2])


def test_the_reference_design_fits_small_language_models_too(tmp_path: Path) -> None:
    shape = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 3000,
        "hidden_size": 36, "intermediate_size": 72, "num_hidden_layers": 2,
        "num_attention_heads": 3, "num_key_value_heads": 3,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(shape))
    (row,) = asked(*variants("user_llm", (10,)), llm_config=str(tmp_path / "config.json"))
    assert row.cost is not None
    assert row.settings["user_llm.fusion.every"] == 2
    assert row.settings["user_llm.fusion.heads"] == 4
