"""A saved model is the same model, and a wrong folder says what is wrong with it."""

from __future__ import annotations

import copy
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmark.errors import UserError
from benchmark.schema import Feature, FeatureSchema
from benchmark.types import IDS, SUMMARIES, TITLES, HistoryBatch
from tests.tiny_model import make_histories
from tests.userllm.own_rows import HISTORIES, tiny_settings, tiny_user_llm
from userllm import checkpoint
from userllm.encoder.event_encoder import Encoded, EventEncoder
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM
from userllm.trainable import apply_strategy

KINDS = {
    "full": {},
    "full, soft prompt": {"kind": "soft_prompt"},
    "lora": {"strategy": "lora"},
    "lora, soft prompt": {"strategy": "lora", "kind": "soft_prompt"},
    "enc, perceiver": {"strategy": "enc", "projector": {"latents": 3, "depth": 2}},
    "proj, prior": {"strategy": "proj", "encoder_prior": True},
    "proj, item head": {"strategy": "proj", "loss": "item_head"},
}


def trained(llm: LanguageModel, **changes: object) -> UserLLM:
    """A model whose weights are all other than those it was built with."""
    model = tiny_user_llm(llm, **changes)
    settings = model.settings
    apply_strategy(settings.strategy, model.llm, model.encoder, model.bridge(), settings.lora_rank)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad or settings.strategy == "full":
                weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return model.eval()


def answers(model: UserLLM) -> list[object]:
    generated = model.generate(histories=HISTORIES, prompts="Next:", max_new_tokens=4)
    return [model.rank(histories=HISTORIES, k=6), generated, model.embed(HISTORIES).tolist()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_answers_bit_for_bit_alike(llm, tmp_path, kind) -> None:
    model = trained(llm, **KINDS[kind])
    before = answers(model)
    model.save_pretrained(tmp_path / "saved")
    assert answers(model) == before  # saving changes nothing
    state = torch.get_rng_state()
    loaded = UserLLM.from_pretrained(tmp_path / "saved", schema=model.schema)
    assert torch.equal(torch.get_rng_state(), state)
    assert answers(loaded) == before
    assert not loaded.training
    assert loaded.settings == model.settings
    assert loaded.encoder_settings == model.encoder_settings
    written = {path.name for path in (tmp_path / "saved").rglob("*") if path.is_file()}
    assert {path.rsplit(".", 1)[-1] for path in written} <= {"json", "safetensors", "jinja"}
    assert os.listdir(tmp_path) == ["saved"]  # nothing is left beside it


def test_whom_the_umask_lets_read_files_may_read_the_weights(llm, tmp_path) -> None:
    before = os.umask(0o027)
    try:
        trained(llm).save_pretrained(tmp_path / "saved")
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "saved").rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"model.safetensors", "config.json"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o640}


@pytest.mark.parametrize("source", [TITLES, SUMMARIES, IDS])
def test_what_the_texts_of_items_are_is_kept(llm, tmp_path, source) -> None:
    model = tiny_user_llm(llm)
    model.catalog = replace(model.catalog, text_source=source)
    model.save_pretrained(tmp_path / "saved")
    again = UserLLM.from_pretrained(tmp_path / "saved")
    assert again.catalog.text_source == source
    assert again.catalog.named.tolist() == model.catalog.named.tolist()
    stages = [stage.name for stage in again.fit(HISTORIES, pretrain=False)]
    assert ("align" in stages) == (source != IDS)  # an id is nothing to learn to say


def test_tied_weights_stay_tied(llm, tmp_path) -> None:
    trained(llm).save_pretrained(tmp_path / "saved")
    model = UserLLM.from_pretrained(tmp_path / "saved").llm.model
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_a_fitted_lora_model_is_saved_over_a_clean_base(llm, tmp_path) -> None:
    from transformers import AutoModelForCausalLM

    base = copy.deepcopy(llm.model)
    model = tiny_user_llm(llm, strategy="lora", kind="soft_prompt")
    model.fit(HISTORIES)
    model.save_pretrained(tmp_path / "saved")
    alone = AutoModelForCausalLM.from_pretrained(tmp_path / "saved" / "llm").state_dict()
    assert alone.keys() == base.state_dict().keys()
    assert all(torch.equal(alone[name], value) for name, value in base.state_dict().items())
    assert answers(UserLLM.from_pretrained(tmp_path / "saved")) == answers(model)


@pytest.mark.parametrize("strategy", ["lora", "enc", "proj"])
def test_a_frozen_language_model_may_stay_where_it_is(llm, tmp_path, strategy) -> None:
    llm.model.save_pretrained(tmp_path / "llm")
    llm.tokenizer.save_pretrained(tmp_path / "llm")
    base = copy.deepcopy(llm.model)
    model = trained(llm, strategy=strategy)
    folder = tmp_path / "saved"
    model.save_pretrained(folder, llm_weights=False)
    assert not list((folder / "llm").glob("*.safetensors"))
    for given in (base, str(tmp_path / "llm"), LanguageModel(copy.deepcopy(base), None, "other")):
        if given is base:
            given = copy.deepcopy(base)
        assert answers(UserLLM.from_pretrained(folder, llm=given)) == answers(model)
    with pytest.raises(UserError, match="give llm="):
        UserLLM.from_pretrained(folder)
    with torch.no_grad():
        base.get_input_embeddings().weight[0] += 1
    with pytest.raises(UserError, match="has not the weights"):
        UserLLM.from_pretrained(folder, llm=base)


def test_weights_that_nobody_else_has_are_always_kept(llm, tmp_path) -> None:
    with pytest.raises(UserError, match="strategy=full trains it"):
        trained(llm).save_pretrained(tmp_path / "saved", llm_weights=False)
    model = trained(llm, strategy="enc")
    model.llm.identity = "embedded:llm-1"
    with pytest.raises(UserError, match="made here"):
        model.save_pretrained(tmp_path / "saved", llm_weights=False)
    assert not list(tmp_path.iterdir())
    model.save_pretrained(tmp_path / "saved")
    with pytest.raises(UserError, match="leave llm out"):
        UserLLM.from_pretrained(tmp_path / "saved", llm=llm)


def test_numbers_of_half_the_width_stay_as_they_are(llm, tmp_path) -> None:
    llm.model.to(torch.bfloat16)
    model = tiny_user_llm(llm)
    model.save_pretrained(tmp_path / "saved")
    loaded = UserLLM.from_pretrained(tmp_path / "saved")
    state = model.state_dict()
    for name, value in loaded.state_dict().items():
        assert value.dtype == state[name].dtype
        assert torch.equal(value, state[name])


def test_a_model_without_a_catalogue_still_writes(llm, encoder, schema, tmp_path) -> None:
    model = UserLLM.build(
        llm.model, llm.tokenizer, schema, encoder=encoder, settings=tiny_settings()
    )
    model.save_pretrained(tmp_path / "saved")
    loaded = UserLLM.from_pretrained(tmp_path / "saved")
    assert loaded.catalog is None
    histories = make_histories([6, 2])
    assert torch.equal(loaded.embed(histories), model.embed(histories))


class Averaging(EventEncoder):
    """An encoder that the package cannot build: the mean of item embeddings."""

    def __init__(self, schema: FeatureSchema, width: int = 8, history: int = 4) -> None:
        super().__init__()
        self.schema, self.width, self.history = schema, width, history
        self.table = torch.nn.Embedding(schema.num_items + 1, width)

    @property
    def item_table(self) -> torch.Tensor:
        return self.table.weight

    def encode(self, histories: HistoryBatch) -> Encoded:
        states = self.table(histories.features["item"])
        return Encoded(states, histories.mask, (histories.lengths - 1).clamp(min=0))


def test_another_encoder_is_filled_where_it_is_given(llm, tmp_path) -> None:
    schema = tiny_user_llm(llm).schema
    model = trained(llm, encoder=Averaging(schema))
    model.save_pretrained(tmp_path / "saved")
    with pytest.raises(UserError, match=r"'Averaging'.*give encoder="):
        UserLLM.from_pretrained(tmp_path / "saved")
    with pytest.raises(UserError, match="width=4, but 8"):
        UserLLM.from_pretrained(tmp_path / "saved", encoder=Averaging(schema, width=4))
    loaded = UserLLM.from_pretrained(tmp_path / "saved", encoder=Averaging(schema))
    assert answers(loaded) == answers(model)


def test_another_schema_is_refused_and_the_difference_named(llm, tmp_path) -> None:
    model = tiny_user_llm(llm)
    model.save_pretrained(tmp_path / "saved")
    item, genres, year, rating = model.schema
    more = Feature("rating", rating.kind, 4, labels=(*rating.labels, "11"))
    for features, message in (
        ((item, genres, year, more), "'rating' has cardinality=3, not 4"),
        ((item, genres, year), "'rating' is in the checkpoint alone"),
        ((*model.schema, Feature("mood", rating.kind, 2)), "'mood' is not in the checkpoint"),
        ((item, year, genres, rating), "another order"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            UserLLM.from_pretrained(tmp_path / "saved", schema=FeatureSchema(tuple(features)))
        assert "\n" not in str(caught.value)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def drop(folder: Path, name: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors.pop(name)
    save_file(tensors, folder / "model.safetensors")


def put(folder: Path, name: str, value: torch.Tensor) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, name: value}, folder / "model.safetensors")


BIAS = "encoder.item_bias"
DAMAGES = {
    "no config": (lambda f: (f / "config.json").unlink(), "no USER-LLM checkpoint"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json is damaged"),
    "another's": (lambda f: (f / "config.json").write_text("{}"), "of something else"),
    "newer": (lambda f: edit(f / "config.json", version=99), "install a newer"),
    "setting": (lambda f: edit(f / "config.json", settings={"no": 1}), "damaged: .*no"),
    "field": (lambda f: edit(f / "config.json", encoder={}), "damaged: no 'kind'"),
    "fingerprint": (lambda f: edit(f / "config.json", schema_fingerprint=""), "fingerprint"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "missing or damaged"),
    "cut weights": (
        lambda f: os.truncate(f / "model.safetensors", 100),
        "model.safetensors is missing or damaged",
    ),
    "missing": (lambda f: drop(f, BIAS), f"lacks {BIAS}"),
    "extra": (lambda f: put(f, "more", torch.zeros(1)), "has too much: more"),
    "shape": (lambda f: put(f, BIAS, torch.zeros(2)), rf"{BIAS} has the shape \(2,\), not \(7,\)"),
    "no llm": (lambda f: (f / "llm" / "model.safetensors").unlink(), "llm is missing or damaged"),
    "no tokenizer": (lambda f: [p.unlink() for p in (f / "llm").glob("token*")], "llm is missing"),
    "no folder": (
        lambda f: shutil.rmtree(f / "llm"),
        "damaged: its folder llm is missing",
    ),
}


def test_what_is_damaged_is_named_in_one_line(llm, tmp_path) -> None:
    tiny_user_llm(llm).save_pretrained(tmp_path / "saved")
    for name, (damage, message) in DAMAGES.items():
        folder = tmp_path / name
        shutil.copytree(tmp_path / "saved", folder)
        damage(folder)
        with pytest.raises(UserError, match=message) as caught:
            UserLLM.from_pretrained(folder)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no USER-LLM checkpoint"):
        UserLLM.from_pretrained(tmp_path / "nowhere")


def test_pickled_weights_are_never_read(llm, tmp_path) -> None:
    tiny_user_llm(llm).save_pretrained(tmp_path / "saved")
    weights = tmp_path / "saved" / "llm" / "model.safetensors"
    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    with pytest.raises(UserError, match="llm is missing or damaged"):
        UserLLM.from_pretrained(tmp_path / "saved")


def test_a_full_disk_leaves_what_was_there(llm, tmp_path, monkeypatch) -> None:
    model = tiny_user_llm(llm)
    model.save_pretrained(tmp_path / "saved")
    before = answers(model)
    changed = trained(copy.deepcopy(llm))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        for folder in ("saved", "new"):
            with pytest.raises(UserError, match=r"cannot be written .*No space left"):
                changed.save_pretrained(tmp_path / folder)
    assert os.listdir(tmp_path) == ["saved"]
    assert answers(UserLLM.from_pretrained(tmp_path / "saved")) == before
    changed.save_pretrained(tmp_path / "saved")  # an earlier checkpoint is replaced
    assert answers(UserLLM.from_pretrained(tmp_path / "saved")) == answers(changed)


def test_what_is_no_checkpoint_is_not_overwritten(llm, tmp_path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    model = tiny_user_llm(llm)
    for place in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(UserError, match="choose another folder"):
            model.save_pretrained(place)
    (tmp_path / "empty").mkdir()
    model.save_pretrained(tmp_path / "empty")
    assert (tmp_path / "empty" / "config.json").is_file()
