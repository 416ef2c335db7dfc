"""Loading a language model: what is wrong with it is said in one line, and nothing else is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.errors import UserError
from tests.userllm.families.checkpoints import save_checkpoint
from userllm.llm.loading import check_language_model, load_language_model, wrap_language_model


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint("llama", tmp_path_factory.mktemp("intact"))


def configure(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": ')


def unknown_kind(folder: Path) -> None:
    configure(folder, model_type="gpt17")


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickled_weights(folder: Path) -> None:
    no_weights(folder)
    torch.save({}, folder / "pytorch_model.bin")


def cut_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:900])


def more_layers(folder: Path) -> None:
    configure(folder, num_hidden_layers=3)


def wider(folder: Path) -> None:
    configure(folder, intermediate_size=40)


def no_tokenizer(folder: Path) -> None:
    for file in folder.glob("token*"):
        file.unlink()


def no_vocabulary(folder: Path) -> None:
    save_checkpoint("gpt2", folder)
    no_tokenizer(folder)


def encoder(folder: Path) -> None:
    from transformers import BertConfig, BertModel

    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=301, num_hidden_layers=2, **small)).save_pretrained(folder)


def encoder_decoder(folder: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=301, d_model=16, num_layers=1, num_heads=2, d_ff=16, d_kv=8)
    T5ForConditionalGeneration(config).save_pretrained(folder)


def vision(folder: Path) -> None:
    configure(folder, model_type="vit")


FLAWS: list[tuple[Callable[[Path], None], str]] = [
    (no_config, "no model there; a folder with config.json is needed"),
    (broken_config, "the configuration cannot be loaded .*not a valid JSON"),
    (unknown_kind, "the configuration cannot be loaded .*gpt17"),
    (no_weights, r"no weights there; a \*.safetensors file is needed"),
    (pickled_weights, r"weights are pickled \(pytorch_model.bin\).*save_pretrained"),
    (cut_weights, "the weights cannot be loaded"),
    (more_layers, "9 weights of llama are not in the file, first model.layers.2.*random"),
    (wider, "the weights cannot be loaded .they have other shapes than config.json says"),
    (no_tokenizer, "the tokenizer cannot be loaded"),
    (no_vocabulary, "the tokenizer cannot be loaded .it has no vocabulary"),
    (encoder, "bert is an encoder, not a causal language model"),
    (encoder_decoder, "t5 is not a causal language model"),
    (vision, "vit is not a causal language model"),
]


@pytest.mark.parametrize(("spoil", "message"), FLAWS, ids=[flaw.__name__ for flaw, _ in FLAWS])
def test_a_flaw_is_one_clear_line(
    spoil: Callable[[Path], None],
    message: str,
    intact: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    folder = shutil.copytree(intact, tmp_path / "model")
    spoil(folder)
    capfd.readouterr()
    with pytest.raises(UserError, match=message) as raised:
        load_language_model(str(folder))
    assert len(str(raised.value).splitlines()) == 1
    assert str(raised.value).startswith(f"language model {folder}: ")
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_a_path_to_nothing_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model there"):
        load_language_model(str(tmp_path / "nothing"))


def test_a_first_look_reads_the_configuration_alone(intact: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(intact, tmp_path / "model")
    for file in folder.glob("*.safetensors"):
        file.write_bytes(b"no weights")
    check_language_model(str(folder))
    encoder_decoder(folder)
    with pytest.raises(UserError, match="t5 is not a causal language model"):
        check_language_model(str(folder))


def test_a_good_model_loads_in_silence(intact: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    llm = load_language_model(str(intact))
    assert not llm.model.training
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_a_tokenizer_may_be_given_by_its_path(intact: Path, tmp_path: Path) -> None:
    loaded = load_language_model(str(intact))
    loaded.tokenizer.save_pretrained(tmp_path / "alone")
    for model in (intact, str(intact), loaded.model):
        for tokenizer in (str(intact), tmp_path / "alone"):
            llm = wrap_language_model(model, tokenizer)
            assert llm.encode(" Star Wars") == loaded.encode(" Star Wars")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="the tokenizer cannot be loaded") as raised:
        wrap_language_model(intact, tmp_path / "empty")
    assert len(str(raised.value).splitlines()) == 1
