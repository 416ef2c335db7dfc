"""The face of the library: what it takes, what it gives back, what it refuses."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

import userllm
from benchmark.errors import UserError
from benchmark.schema import Feature, FeatureKind, FeatureSchema
from tests.userllm.own_rows import ENCODER, HISTORIES, ITEMS, tiny_settings, tiny_user_llm
from userllm.histories import build_catalog, build_log, infer_schema, read_batch
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM


def test_the_package_is_light_until_used() -> None:
    code = (
        "import sys, userllm, userllm.config; dir(userllm); "
        "assert not {'torch', 'transformers', 'lightning'} & set(sys.modules); "
        "from userllm import UserLLMSettings, UserError; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_exists() -> None:
    assert set(userllm.__all__) <= set(dir(userllm))
    for name in userllm.__all__:
        assert getattr(userllm, name).__name__ == name
    with pytest.raises(AttributeError, match="Nothing"):
        _ = userllm.Nothing


def test_lists_and_batches_rank_alike(llm) -> None:
    model = tiny_user_llm(llm)
    batch = read_batch(HISTORIES, model.schema, model.catalog)
    assert model.rank(histories=HISTORIES, k=3) == model.rank(histories=batch, k=3)
    assert torch.equal(model.embed(HISTORIES), model.encoder.embed(batch))


def test_a_ranking_is_that_of_the_catalogue(llm) -> None:
    model = tiny_user_llm(llm)
    ranked = model.rank(histories=HISTORIES, k=99, exclude_seen=False)
    exact = model.catalogue_log_probs(
        model.trie, read_batch(HISTORIES, model.schema, model.catalog)
    )
    for row, own in zip(ranked, exact.tolist(), strict=True):
        assert [item for item, _ in row] != list(ITEMS)  # in order of score, not of the catalogue
        assert [score for _, score in row] == sorted((score for _, score in row), reverse=True)
        told = dict(row)
        assert [told[name] for name in ITEMS] == pytest.approx(own[1:])
        assert sum(torch.tensor(list(told.values())).exp()) == pytest.approx(1)


def test_many_users_are_embedded_some_at_a_time(llm, monkeypatch) -> None:
    model = tiny_user_llm(llm)
    together, sizes, embed = model.embed(HISTORIES), [], model.encoder.embed
    monkeypatch.setattr("userllm.decoding.exact.POSITIONS_AT_ONCE", 6)  # two of three events
    monkeypatch.setattr(model.encoder, "embed", lambda own: (sizes.append(len(own)), embed(own))[1])
    torch.testing.assert_close(model.embed(HISTORIES), together)
    assert sizes == [2, 2]
    assert model.embed([]).shape == (0, 8)


def test_seen_items_are_left_out_even_where_the_encoder_reads_no_further(llm) -> None:
    model = tiny_user_llm(llm)
    history = ["m1", "m2", "m3", "m4", "m5"]  # one more than the encoder reads
    (row,) = model.rank(histories=[history], k=6)
    assert [item for item, _ in row] == ["m6"]
    short, long = model.embed([history[1:]]), model.embed([history])
    assert torch.equal(short, long)


def test_users_do_not_touch_each_other_and_an_empty_history_ranks(llm) -> None:
    model = tiny_user_llm(llm)
    together = model.rank(histories=[*HISTORIES, []], k=6)
    for history, row in zip([*HISTORIES, []], together, strict=True):
        (alone,) = model.rank(histories=[history], k=6)
        assert [item for item, _ in alone] == [item for item, _ in row]
        assert [s for _, s in alone] == pytest.approx([s for _, s in row], abs=1e-4)
    assert model.rank(histories=[], k=3) == []


def test_one_prompt_serves_all_and_each_may_have_its_own(llm) -> None:
    model = tiny_user_llm(llm)
    texts = model.generate(histories=HISTORIES, prompts="Next:", max_new_tokens=3)
    assert texts == model.generate(
        histories=HISTORIES, prompts=["Next:"] * len(HISTORIES), max_new_tokens=3
    )
    assert len(texts) == len(HISTORIES)
    assert model.generate(histories=[], prompts="Next:") == []
    with pytest.raises(UserError, match="1 prompts for 4 users"):
        model.generate(histories=HISTORIES, prompts=["Next:"])


def test_asking_changes_neither_mode_nor_random_numbers(llm) -> None:
    model = tiny_user_llm(llm)
    model.train()
    model.llm.eval()
    before = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    model.rank(histories=HISTORIES)
    model.embed(HISTORIES)
    tiny_user_llm(llm)
    assert [module.training for module in model.modules()] == before
    assert torch.equal(torch.get_rng_state(), state)


def test_fitting_learns_and_can_go_on(llm, capsys) -> None:
    model = tiny_user_llm(llm)
    ranked = model.rank(histories=HISTORIES)  # asking first must not stand in the way
    stages = model.fit(HISTORIES)
    assert [stage.name for stage in stages] == ["encoder", "align", "tune"]
    assert model.rank(histories=HISTORIES) != ranked
    assert not capsys.readouterr().err
    log = build_log(HISTORIES, model.schema, model.catalog)
    stages = model.fit(log, pretrain=False, progress=userllm.Printed())
    assert [stage.name for stage in stages] == ["align", "tune"]
    assert "tune: 100%, loss" in capsys.readouterr().err


def test_only_a_fresh_encoder_is_pretrained_unless_asked(llm, tmp_path) -> None:
    def stages(model: UserLLM, **options: bool) -> list[str]:
        return [stage.name for stage in model.fit(HISTORIES, **options)]

    model = tiny_user_llm(llm, strategy="proj", align={"steps": 1})
    model.save_pretrained(tmp_path / "new")
    assert stages(model) == ["encoder", "align", "tune"]
    assert stages(model) == ["align", "tune"]
    model.save_pretrained(tmp_path / "fitted")
    fitted = UserLLM.from_pretrained(tmp_path / "fitted")
    assert stages(fitted) == ["align", "tune"]
    assert stages(fitted, pretrain=True) == ["encoder", "align", "tune"]
    assert stages(UserLLM.from_pretrained(tmp_path / "new")) == ["encoder", "align", "tune"]


@pytest.mark.parametrize("strategy", ["full", "lora"])
@pytest.mark.parametrize("pretrain", [True, False])
def test_the_same_seed_fits_alike_whatever_was_drawn_before(llm, strategy, pretrain) -> None:
    ranked = []
    for other in (1, 2):
        model = tiny_user_llm(copy.deepcopy(llm), strategy=strategy)
        torch.manual_seed(other)
        state = torch.get_rng_state()
        model.fit(HISTORIES, seed=3, pretrain=pretrain)
        assert torch.equal(torch.get_rng_state(), state)
        ranked.append(model.rank(histories=HISTORIES))
    assert ranked[0] == ranked[1]


def test_an_encoder_of_ones_own_is_not_pretrained(llm, encoder, schema) -> None:
    model = UserLLM.build(llm.model, llm.tokenizer, schema, encoder=encoder)
    assert model.encoder is encoder
    with pytest.raises(UserError, match="catalogue"):
        model.fit([[1, 2]])
    with pytest.raises(UserError, match="catalogue"):
        model.rank(histories=[[1, 2]])


def test_the_encoder_reads_the_features_it_is_told_to(llm) -> None:
    schema = infer_schema(ITEMS, HISTORIES, gap_edges_seconds=(60.0,))
    catalog = build_catalog(ITEMS, schema)
    some = ENCODER.model_copy(update={"features": ("rating", "gap")})
    models = [
        UserLLM.build(llm.model, llm.tokenizer, schema, catalog=catalog,
                      settings=tiny_settings(), encoder=settings)
        for settings in (ENCODER, some)
    ]  # fmt: skip
    assert [model.encoder.schema.names for model in models] == [
        ("item", "genres", "year", "rating"),
        ("item", "rating", "gap"),
    ]
    assert models[1].embed(HISTORIES).shape == (4, 8)


def test_parts_that_do_not_fit_are_refused(llm, encoder) -> None:
    from transformers import BertConfig, BertModel

    schema = infer_schema(ITEMS, HISTORIES)
    catalog = build_catalog(ITEMS, schema)
    bert = BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                                intermediate_size=8, vocab_size=9))  # fmt: skip
    other = FeatureSchema((Feature("item", FeatureKind.ID, 3),))
    for args, options, message in (
        ((bert, llm.tokenizer, schema), {}, "BertModel is not a causal"),
        ((llm.model, None, schema), {}, "tokenizer"),
        (("/no/such/model", None, schema), {}, "no model there"),
        ((llm.model, llm.tokenizer, other), {"catalog": catalog}, "6 items.*3"),
        ((llm.model, llm.tokenizer, schema), {"encoder": encoder}, "feature 'item'"),
        ((llm.model, llm.tokenizer, schema), {"settings": tiny_settings(query="a" * 99)}, "query"),
        (
            (llm.model, llm.tokenizer, schema),
            {"settings": tiny_settings(encoder="bert4rec")},
            "encoder='bert4rec' .* give encoder=",
        ),
    ):
        with pytest.raises(UserError, match=message):
            UserLLM.build(*args, **options)
    model = tiny_user_llm(llm)
    with pytest.raises(UserError, match="k=0"):
        model.rank(histories=HISTORIES, k=0)
    with pytest.raises(UserError, match="two events"):
        model.fit([["m1"], []])
    batch = read_batch([["m1"]], FeatureSchema((schema["item"],)), catalog)
    with pytest.raises(UserError, match="lack feature 'genres'"):
        model.rank(histories=batch)


def test_a_title_that_cannot_be_said_names_its_item(llm) -> None:
    for title, message in (
        ("Alien</s>3", r"'Alien</s>3' of item 'm3' holds '</s>', which ends a text"),
        ("", "item 'm3' has an empty title"),
    ):
        items = {**ITEMS, "m3": {"title": "Heat", "genres": ["Crime"], "year": 1995}}
        schema = infer_schema(items, HISTORIES)
        catalog = build_catalog(items, schema)
        texts = tuple(title if text == "Heat" else text for text in catalog.texts)
        speaker = copy.copy(llm.tokenizer)
        if not title:  # some tokenizers strip a text before they cut it
            speaker.encode = lambda text, **_: llm.tokenizer.encode(text.strip(), **_)
        with pytest.raises(UserError, match=message):
            UserLLM.build(
                llm.model, speaker, schema, catalog=replace(catalog, texts=texts),
                settings=tiny_settings(),
            )  # fmt: skip


def test_shuffled_titles_are_those_of_other_items(llm) -> None:
    model = tiny_user_llm(llm, shuffle_titles=True)
    titles = tiny_user_llm(llm).catalog.texts
    assert sorted(model.catalog.texts) == sorted(titles)
    assert all(a != b for a, b in zip(model.catalog.texts[1:], titles[1:], strict=True))


def test_an_interrupted_fit_goes_on_where_it_was(llm, tmp_path) -> None:
    llms = [copy.deepcopy(llm) for _ in range(3)]
    whole = tiny_user_llm(llms[0])
    whole.fit(HISTORIES, validate=lambda _: 0.0)
    looks = []

    def interrupted(model: UserLLM) -> float:
        looks.append(model.rank(histories=HISTORIES, k=1))
        if len(looks) == 2:
            raise KeyboardInterrupt
        return 0.0

    folder = tmp_path / "unfinished"
    with pytest.raises(KeyboardInterrupt):
        tiny_user_llm(llms[1]).fit(HISTORIES, validate=interrupted, checkpoints=folder)
    assert {"encoder.pt", "align.pt"} <= {path.name for path in folder.iterdir()}
    said = []
    again = tiny_user_llm(llms[2])
    progress = Said(said)
    stages = again.fit(HISTORIES, validate=interrupted, checkpoints=folder, progress=progress)
    assert [stage.name for stage in stages] == ["encoder", "align", "tune"]
    assert sum("goes on from step" in text for text in said) >= 2
    assert again.rank(histories=HISTORIES) == whole.rank(histories=HISTORIES)
    assert not list(folder.iterdir())


def test_a_loss_that_is_no_number_is_one_line_that_names_the_stage(llm) -> None:
    model = tiny_user_llm(llm, strategy="proj", align={"steps": 0})
    with torch.no_grad():
        for weight in model.projector.parameters():
            weight.fill_(torch.nan)
    with pytest.raises(UserError, match=r"^tune: the loss became nan at step 1; a lower learning"):
        model.fit(HISTORIES, pretrain=False)


def test_the_best_look_stays(llm) -> None:
    model = tiny_user_llm(llm)
    looks: list[list[list[tuple[str, float]]]] = []

    def worse_and_worse(looked_at: UserLLM) -> float:
        assert looked_at is model
        looks.append(model.rank(histories=HISTORIES))
        return -len(looks)

    (*_, tuned) = model.fit(HISTORIES, validate=worse_and_worse)
    assert [point.value for point in tuned.curve] == [-n - 1 for n in range(len(looks))]
    assert len(looks) > 1
    assert looks[0] != looks[-1]
    assert model.rank(histories=HISTORIES) == looks[0]


@pytest.mark.parametrize("decoding", ["exact", "top_k", "beam"])
@pytest.mark.parametrize("changes", [{"kind": "soft_prompt"}, {"recent_as_text": 4}])
def test_too_few_positions_are_one_clear_line(llm, decoding, changes) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    def ranked(positions: int) -> list[list[tuple[str, float]]]:
        torch.manual_seed(0)
        config = GPT2Config(
            vocab_size=len(llm.tokenizer), n_positions=positions, n_embd=16, n_layer=1, n_head=2
        )
        model = GPT2LMHeadModel(config).eval()
        speaker = LanguageModel(model, llm.tokenizer, "short")
        asked = tiny_user_llm(speaker, decoding=decoding, **changes)
        return asked.rank(histories=[["m1", "m2", "m3", "m5"]], k=2)

    with pytest.raises(UserError, match="has 1: shorten") as raised:
        ranked(1)
    needed = int(re.search(r"up to (\d+) positions", str(raised.value))[1])
    assert ranked(needed)
    with pytest.raises(UserError, match=rf"up to {needed} positions, but \w+ has {needed - 1}:"):
        ranked(needed - 1)


class Said:
    """Progress that keeps its notes."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def stage(self, name: str, total_epochs: float | None = None) -> None: ...

    def update(
        self, epoch: float, loss: float | None = None, value: float | None = None
    ) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)
