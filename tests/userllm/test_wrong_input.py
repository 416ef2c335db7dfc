"""What a user of the library can get wrong is a `UserError` of one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.errors import UserError
from tests.userllm.own_rows import ENCODER, HISTORIES, ITEMS, tiny_settings, tiny_user_llm
from userllm.config import AlignSettings, UserEncoderSettings, UserLLMSettings
from userllm.histories import build_catalog, build_log, infer_schema, read_batch
from userllm.model import UserLLM


def check_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fussion": 1}, r"unknown setting of UserLLMSettings: 'fussion': did you mean 'fusion'"),
        ({"fusion": {"kid": 1}}, "'fusion.kid': did you mean 'fusion.kind'"),
        ({"align": {"optimizer": {"rate": 1}}}, "valid: align.optimizer.accumulate"),
        ({"align": {"steps": "many"}}, "UserLLMSettings.align.steps: .* integer.* got 'many'"),
        ({"strategy": "lore"}, "UserLLMSettings.strategy: should be 'full', .* got 'lore'"),
        ({"encoder_prior": True, "loss": "token"}, "encoder_prior needs loss=trie"),
    ],
    ids=str,
)
def test_wrong_settings(llm, fields: dict[str, Any], message: str) -> None:
    check_refused(lambda: UserLLMSettings(**fields), message)
    schema = infer_schema(ITEMS)
    check_refused(lambda: UserLLM.build(llm.model, llm.tokenizer, schema, settings=fields), message)


def test_a_nested_mapping_keeps_the_other_defaults() -> None:
    settings = UserLLMSettings(align={"optimizer": {"clip": 2.0}}, fusion={"heads": 2})  # type: ignore[arg-type]
    rate = AlignSettings().optimizer.learning_rate
    assert (settings.align.optimizer.learning_rate, settings.align.optimizer.clip) == (rate, 2.0)
    assert UserEncoderSettings(fit={"history": 9}).fit == ENCODER.fit.model_copy(  # type: ignore[arg-type]
        update={**dict(UserEncoderSettings().fit), "history": 9}
    )


def test_settings_may_be_mappings(llm) -> None:
    schema = infer_schema(ITEMS, HISTORIES)
    built = UserLLM.build(
        llm.model, llm.tokenizer, schema, catalog=build_catalog(ITEMS, schema),
        settings=tiny_settings().model_dump(), encoder=ENCODER.model_dump(),
    )  # fmt: skip
    assert built.settings == tiny_settings()
    assert built.encoder_settings == ENCODER


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"settings": ["x"]}, r"settings=\['x'\]: UserLLMSettings is needed"),
        ({"encoder": "bert4rec"}, "encoder='bert4rec': UserEncoderSettings is needed"),
        ({"encoder": {"fitt": 1}}, "'fitt': did you mean 'fit'"),
        ({"schema": ITEMS}, "schema=.*infer_schema"),
        ({"catalog": ITEMS}, "catalog=.*build_catalog"),
        ({"seed": "x"}, "seed='x': a whole number"),
        ({"seed": 2**70}, "seed=.*a whole number"),
        ({"tokenizer": 3}, "tokenizer of LlamaForCausalLM is needed"),
        ({"tokenizer": "/no/such"}, "tokenizer /no/such: there is no such folder"),
        ({"tokenizer": 3, "model": "/no/such"}, "tokenizer of /no/such is needed"),
        ({"model": type}, "type is not a causal language model"),
    ],
    ids=str,
)
def test_wrong_parts(llm, given: dict[str, Any], message: str) -> None:
    schema = infer_schema(ITEMS, HISTORIES)
    parts = {"model": llm.model, "tokenizer": llm.tokenizer, "schema": schema}
    check_refused(lambda: UserLLM.build(**(parts | given)), message)


@pytest.mark.parametrize(
    ("items", "options", "message"),
    [
        ({}, {}, "items is empty"),
        (["a"], {}, r"items=\['a'\]: a mapping"),
        ({"a": None}, {}, "item 'a' is None: a title"),
        ({1: "a", "1": "b"}, {}, "same as text"),
        ({"a": {"title": "A", 3: 4}}, {}, "feature 3"),
        (ITEMS, {"histories": None}, "one list of events a user"),
        (ITEMS, {"gap_edges_seconds": 60}, "ascending finite numbers"),
        (ITEMS, {"gap_edges_seconds": (60, 5)}, "ascending finite numbers"),
        (ITEMS, {"gap_edges_seconds": ("a",)}, "ascending finite numbers"),
        (ITEMS, {"gap_edges_seconds": (float("nan"),)}, "ascending finite numbers"),
        (ITEMS, {"gap_edges_seconds": (60, float("inf"))}, "ascending finite numbers"),
    ],
    ids=str,
)
def test_wrong_rows(items: Any, options: dict[str, Any], message: str) -> None:
    check_refused(lambda: infer_schema(items, **options), message)


def test_wrong_calls(llm, tmp_path) -> None:
    model = tiny_user_llm(llm, strategy="enc")
    batch = read_batch(HISTORIES, model.schema, model.catalog)
    far = {**batch.features, "item": batch.features["item"] + 90}
    loose = {**batch.features, "item": batch.features["item"].float()}
    file = tmp_path / "file"
    file.write_text("")
    calls: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: build_catalog(ITEMS, None), "schema=None"),  # type: ignore[arg-type]
        (lambda: build_log(HISTORIES, model.schema, ITEMS), "catalog=.*build_catalog"),  # type: ignore[arg-type]
        (lambda: model.fit(None), "one list of events a user"),  # type: ignore[arg-type]
        (lambda: model.fit([[{"item": "m1", "timestamp": 1e40}]]), "number of seconds"),
        (lambda: model.fit([["m1", {"item": "m2", 3: 4}]]), "unknown feature of an event: '3'"),
        (lambda: model.fit(HISTORIES, validate=3), "validate=3"),  # type: ignore[arg-type]
        (lambda: model.fit(HISTORIES, seed=-1), "seed=-1"),
        (lambda: model.fit(HISTORIES, progress=True), "progress=True"),  # type: ignore[arg-type]
        (lambda: model.fit(HISTORIES, pretrain="no"), "pretrain='no'"),  # type: ignore[arg-type]
        (lambda: model.fit(HISTORIES, accelerator="gpuu"), "accelerator='gpuu' cannot be used"),
        (lambda: model.fit(HISTORIES, checkpoints=3), "checkpoints=3"),  # type: ignore[arg-type]
        (lambda: model.fit(HISTORIES, checkpoints=file), "file is no folder"),
        (lambda: model.fit(HISTORIES, checkpoints=file / "below"), "below cannot be written: Not"),
        (lambda: model.rank(None), "one list of events a user"),  # type: ignore[arg-type]
        (lambda: model.rank(np.zeros((30, 2))), "unknown item"),  # type: ignore[arg-type]
        (lambda: model.rank(HISTORIES, k=1.5), "k=1.5: a whole number"),  # type: ignore[arg-type]
        (lambda: model.rank(replace(batch, features=far)), "'item' outside of 0 to 6"),
        (lambda: model.rank(replace(batch, features=loose)), "LongTensor"),
        (lambda: model.rank(replace(batch, mask=batch.mask.long())), "BoolTensor"),
        (lambda: model.embed(3), "one list of events a user"),  # type: ignore[arg-type]
        (lambda: model.generate(HISTORIES, None), "prompts=None"),  # type: ignore[arg-type]
        (lambda: model.generate(HISTORIES, [1] * 4), "a prompt=1"),  # type: ignore[list-item]
        (lambda: model.generate(HISTORIES, "a", max_length="x"), "max_length='x'"),
        (lambda: model.generate(HISTORIES, "a", num_beams=0), "num_beams=0"),
        (lambda: model.generate(HISTORIES, "a", seed="x"), "seed='x'"),
        (lambda: model.save_pretrained(3), "folder=3"),  # type: ignore[arg-type]
        (lambda: model.save_pretrained("a\0b"), "path of a folder"),
        (lambda: UserLLM.from_pretrained(None), "folder=None"),  # type: ignore[arg-type]
        (lambda: UserLLM.from_pretrained("x", encoder=ENCODER), "an EventEncoder"),  # type: ignore[arg-type]
    )
    for call, message in calls:
        check_refused(call, message)


def test_a_validation_without_a_number(llm) -> None:
    model = tiny_user_llm(llm, strategy="proj", align={"steps": 0})
    for found in (None, float("nan"), torch.tensor(float("nan"))):
        check_refused(
            lambda found=found: model.fit(HISTORIES, pretrain=False, validate=lambda _: found),  # type: ignore[misc]
            "validate gave .*: a number is needed",
        )
    numbers = iter(torch.arange(9.0))
    model.fit(HISTORIES, pretrain=False, validate=lambda _: next(numbers))  # type: ignore[arg-type, return-value]
