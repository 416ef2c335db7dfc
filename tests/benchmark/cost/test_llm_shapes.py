"""Shapes of language models by name and by path."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.cost.llm_shapes import read_llm_config, shape_names
from benchmark.errors import UserError


def test_shapes_are_had_by_name() -> None:
    assert shape_names() == [
        "gemma-2-2b", "gemma-3-1b", "gpt2", "llama-3.2-1b", "pythia-160m", "qwen3-0.6b"
    ]  # fmt: skip
    for name in shape_names():
        shape = read_llm_config(name)
        assert shape.name == name
        assert shape.config["architectures"]


def test_a_shape_is_had_by_the_path_of_its_file_or_folder(tmp_path: Path) -> None:
    config = {"model_type": "llama", "hidden_size": 64}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "other.json").write_text(json.dumps(config | {"hidden_size": 32}))
    assert read_llm_config(str(tmp_path)).config == config
    assert read_llm_config(str(tmp_path / "config.json")).config == config
    assert read_llm_config(str(tmp_path / "other.json")).config["hidden_size"] == 32


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("llama-3.2-1", "did you mean 'llama-3.2-1b'"),
        ("something", "valid: gemma-2-2b, .*, or the path of a config.json"),
        ("nowhere/config.json", "there is no file"),
        ("{folder}", "there is no file '{folder}/config.json'"),
        ("{folder}/broken.json", "broken.json is no JSON"),
        ("{folder}/list.json", "it has no model_type"),
        ("{folder}/other.json", "it has no model_type"),
        ("{folder}/bytes.json", "bytes.json is no JSON"),
    ],
)
def test_what_is_no_shape_is_said_in_one_line(tmp_path: Path, name: str, message: str) -> None:
    for file, text in (("broken", b"{"), ("list", b"[1]"), ("other", b"{}"), ("bytes", b"\xff{}")):
        (tmp_path / f"{file}.json").write_bytes(text)
    with pytest.raises(UserError, match=message.format(folder=tmp_path)) as error:
        read_llm_config(name.format(folder=tmp_path))
    assert "\n" not in str(error.value)


def test_torch_is_not_needed() -> None:
    code = (
        "import sys, benchmark.cost.llm_shapes, benchmark.cost.reference; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
