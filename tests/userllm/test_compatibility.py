"""What does not fit together is one line before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.data.division import Split
from benchmark.errors import UserError
from benchmark.protocols import Checked, FitContext
from benchmark.schema import IdMap
from benchmark.types import Catalog
from tests.userllm.families.checkpoints import FAMILIES, load, save_checkpoint
from tests.userllm.resumable import Listener
from userllm.compatibility import spoken_titles
from userllm.config import UserLLMSettings
from userllm.llm.language_model import LanguageModel
from userllm.llm.loading import outline_language_model
from userllm.method import UserLLMMethod


class Nobody:
    """Stands where nothing may be asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for before the check")


def check(split: Split, cache: Path, name: str | None = None, **fields: Any) -> None:
    method = UserLLMMethod(UserLLMSettings.model_validate(fields))
    assert isinstance(method, Checked)
    nobody: Any = Nobody()
    context = FitContext(seed=0, cache=cache, validate=nobody, progress=nobody, llm=name)
    method.check(split.train, context)
    assert not list(cache.iterdir())


LONG = "what does this person want to see on a long evening"
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"fusion": {"every": 3}}, r"fusion\.every=3, but .* has 2 decoder layers: 1 to 2"),
    ({"fusion": {"heads": 3}}, r"fusion\.heads=3 must divide \d+, the width of "),
    (
        {"fusion": {"kind": "soft_prompt", "heads": 3}, "projector": {"latents": 2}},
        r"fusion\.heads=3 must divide \d+",
    ),
    ({"query": "many words " * 20}, r"user_llm\.query=.* tokens; 1 to 32 are allowed"),
    ({"recent_fields": ("nothing",)}, "nothing"),
    ({"held_out": 1e-9}, "held_out"),
]


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize(("fields", "message"), WRONG)
def test_what_cannot_work_is_refused(
    fields: dict[str, Any], message: str, outside: bool, world_split: Split, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    name = str(save_checkpoint("llama", tmp_path / "llm")) if outside else None
    check(world_split, cache, name, fusion={"heads": 2})
    with pytest.raises(UserError, match=message) as raised:
        check(world_split, cache, name, **{"fusion": {"heads": 2}, **fields})
    assert len(str(raised.value).splitlines()) == 1


def test_a_long_query_of_few_tokens_is_none_too_long(world_split: Split, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 to 32"):
        check(world_split, tmp_path, query=LONG * 3)
    title = world_split.train.catalog.texts[1]
    check(world_split, tmp_path, query=f" {title}" * 4)


def test_a_title_that_cannot_be_said_is_found(world_split: Split, tmp_path: Path) -> None:
    data = world_split.train
    texts = ("", "Heat</s>", *data.catalog.texts[2:])
    split = replace(world_split, train=replace(data, catalog=replace(data.catalog, texts=texts)))
    cache = tmp_path / "cache"
    cache.mkdir()
    with pytest.raises(UserError, match="ends a text"):
        check(split, cache, str(save_checkpoint("llama", tmp_path / "llm")), fusion={"heads": 2})


def words(*known: str) -> Any:
    """A tokenizer that knows some words and no letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    unknown, end = "[UNK]", "</s>"
    vocabulary = {word: token for token, word in enumerate([unknown, end, *known])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=unknown, eos_token=end)


def test_titles_known_in_part_are_told_once(
    llm: LanguageModel, recwarn: pytest.WarningsRecorder
) -> None:
    speaker = LanguageModel(llm.model, words("Heat", "Wave"), "words")
    titles = ("", "Heat", "Heat Amélie", "Heat Wave", "Heat  Amélie")
    catalog = Catalog(IdMap("abcd"), titles, {})
    told = "does not know all of 2 of 4 titles, first 'Heat Amélie': '[UNK]' stands for the rest"
    listener = Listener()
    assert spoken_titles(catalog, speaker, listener) == [[2], [2, 0], [2, 3], [2, 0]]
    assert listener.notes == [f"the tokenizer of words {told}"]
    assert not recwarn.list
    spoken_titles(catalog, speaker)
    assert [str(warning.message) for warning in recwarn.list] == listener.notes
    spoken_titles(catalog, LanguageModel(llm.model, words("Heat", "Wave", "Amélie"), "words"))
    assert len(recwarn.list) == 1


def test_titles_that_become_one_are_refused(
    llm: LanguageModel, world_split: Split, tmp_path: Path
) -> None:
    speaker = LanguageModel(llm.model, words("Heat"), "words")
    catalog = Catalog(IdMap("ab"), ("", "Heat Amélie", "Heat Wave"), {})
    with pytest.raises(UserError, match="cannot tell the titles 'Heat Amélie' and 'Heat Wave'"):
        spoken_titles(catalog, speaker)
    words("Heat").save_pretrained(save_checkpoint("llama", tmp_path / "llm"))
    with pytest.raises(UserError, match="llm cannot tell the titles"):
        check(world_split, tmp_path / "cache", str(tmp_path / "llm"), fusion={"heads": 2})


@pytest.mark.parametrize("family", list(FAMILIES))
def test_an_outline_has_the_shapes_of_the_model(family: str, tmp_path: Path) -> None:
    folder = save_checkpoint(family, tmp_path)
    outline = outline_language_model(str(folder))
    facts = [
        (len(model.layers()), model.width, model.layer_width, model.encode(" Star", begin=True))
        for model in (load(folder), outline)
    ]
    assert facts[0] == facts[1]
    assert {weight.device.type for weight in outline.parameters()} == {"meta"}


def test_a_cell_is_checked_before_its_encoder_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from benchmark.config import read_config
    from benchmark.runs.runner import run
    from benchmark.tables import default_tables
    from tests.fakes import Silent

    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    tables = default_tables()
    asked = {
        "task": "next_item",
        "dataset": "synthetic",
        "methods": "user_llm",
        "llm": str(save_checkpoint("llama", tmp_path / "llm")),
        "out": tmp_path / "out",
        "set": ["user_llm.fusion.heads=3"],
    }
    built = []
    monkeypatch.setattr("userllm.encoder_method.build_encoder", lambda *_, **__: built.append(1))
    with pytest.raises(UserError, match=r"heads=3 must divide 16"):
        run(read_config(None, asked, tables), tables, Silent())
    assert not built
