"""Wherever a file of somebody else is read, a pickle in its place is refused and never runs."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from benchmark.config import read_config
from benchmark.data.made_up.layouts import write_layout
from benchmark.data.made_up.synthetic import SyntheticSettings
from benchmark.data.raw import PrepareSettings
from benchmark.data.readers.own import OwnSettings, read_own
from benchmark.data.store.manifest import MANIFEST
from benchmark.data.store.prepare import prepare
from benchmark.data.store.store import open_dataset
from benchmark.datasets import DATASETS
from benchmark.errors import UserError
from benchmark.importing.predictions import read_predictions
from benchmark.records import results
from benchmark.records.example_files import read_examples
from benchmark.tuning.space import Dimension, Space
from benchmark.tuning.study import Study
from benchmark.tuning.tuned import read_tuned
from tests.fakes import Silent, make_tables
from tests.hostile_pickle import Pickles
from tests.judged import keep
from tests.userllm.families.checkpoints import save_checkpoint
from tests.userllm.own_rows import tiny_user_llm
from userllm import checkpoint
from userllm.llm.loading import load_language_model
from userllm.training.resume import CheckpointFile


@pytest.fixture
def pickles(tmp_path: Path) -> Pickles:
    return Pickles(tmp_path)


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint("llama", tmp_path_factory.mktemp("intact"))


def test_the_traps_work(pickles: Pickles) -> None:
    torch.load(_file(pickles, pickles.of_torch()), weights_only=False)
    assert pickles.ran
    pickles.trace.rmdir()
    np.load(_file(pickles, pickles.array()), allow_pickle=True)
    assert pickles.ran


def _file(pickles: Pickles, content: bytes) -> Path:
    path = pickles.trace.with_name("file")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", ["plain", "torch", "legacy"])
def test_a_checkpoint(pickles: Pickles, kind: str) -> None:
    whole = {
        "plain": pickles.plain(),
        "torch": pickles.of_torch(),
        "legacy": pickles.of_torch(legacy=True),
    }
    heard = Silent()
    assert CheckpointFile(_file(pickles, whole[kind]), "me", heard).load() is None
    assert "is broken" in heard.lines[0]
    assert not pickles.ran


def test_arrays_of_a_prepared_data_set(pickles: Pickles, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    name, world = "ml-latest-small", SyntheticSettings(users=8, items=10, events=(3, 6), genres=3)
    source = write_layout(name, tmp_path / "source", world)
    folder = prepare(name, DATASETS[name], source, PrepareSettings(), tell=str).folder
    (folder / "arrays" / "timestamps.npy").write_bytes(pickles.array())
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["arrays/timestamps.npy"] = len(pickles.array())
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="its arrays cannot be read"):
        open_dataset(name)
    assert not pickles.ran


def _adapter(folder: Path, pickles: Pickles) -> None:
    settings = {
        "peft_type": "LORA",
        "base_model_name_or_path": str(folder),
        "task_type": "CAUSAL_LM",
        "target_modules": ["q_proj"],
        "r": 2,
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    (folder / "adapter_model.bin").write_bytes(pickles.of_torch())


def _index(folder: Path, pickles: Pickles) -> None:
    (folder / "model.safetensors").rename(folder / "kept")
    (folder / "any.safetensors").write_bytes(pickles.plain())
    (folder / "evil.bin").write_bytes(pickles.of_torch())
    names = {"model.embed_tokens.weight": "evil.bin"}
    index = {"metadata": {"total_size": 1}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _own_code(folder: Path, pickles: Pickles) -> None:
    (folder / "own.py").write_text(f"import os\nos.mkdir({str(pickles.trace)!r})\n")
    for file, kinds in (
        ("config.json", {"AutoConfig": "own.A", "AutoModelForCausalLM": "own.B"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["own.T", "own.T"]}),
    ):
        told = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**told, "auto_map": kinds}))


def _trusting(folder: Path, pickles: Pickles) -> None:
    """Fields of a configuration that once were believed, whatever the caller said."""
    _own_code(folder, pickles)
    told = json.loads((folder / "config.json").read_text())
    own = {"trust_remote_code": True, "_attn_implementation_internal": str(folder)}
    (folder / "config.json").write_text(json.dumps({**told, **own, "use_kernels": True}))
    (folder / "__init__.py").write_text((folder / "own.py").read_text())


def _renamed(folder: Path, pickles: Pickles) -> None:
    (folder / "model.safetensors").write_bytes(pickles.of_torch())


def _beside(folder: Path, pickles: Pickles) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickles.of_torch())


def _alone(folder: Path, pickles: Pickles) -> None:
    (folder / "model.safetensors").unlink()
    _beside(folder, pickles)


Spoil = Callable[[Path, Pickles], None]


@pytest.mark.parametrize("spoil", [_index, _renamed, _alone])
def test_weights_of_a_language_model(
    intact: Path, tmp_path: Path, pickles: Pickles, spoil: Spoil
) -> None:
    folder = Path(shutil.copytree(intact, tmp_path / "model"))
    spoil(folder, pickles)
    with pytest.raises(UserError, match="language model") as caught:
        load_language_model(str(folder))
    assert "\n" not in str(caught.value)
    assert not pickles.ran


@pytest.mark.parametrize("spoil", [_adapter, _own_code, _trusting, _beside])
def test_what_lies_beside_the_weights_of_a_language_model(
    intact: Path, tmp_path: Path, pickles: Pickles, spoil: Spoil
) -> None:
    folder = Path(shutil.copytree(intact, tmp_path / "model"))
    spoil(folder, pickles)
    with contextlib.suppress(UserError):  # some versions refuse it, others pass it over
        load_language_model(str(folder))
    assert not pickles.ran


@pytest.mark.parametrize("file", [checkpoint.WEIGHTS, "llm/model.safetensors"])
def test_a_saved_model(llm, tmp_path: Path, pickles: Pickles, file: str) -> None:
    tiny_user_llm(llm).save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / file).write_bytes(pickles.of_torch())
    with pytest.raises(UserError, match="is missing or damaged"):
        checkpoint.load(tmp_path / "saved")
    assert not pickles.ran


def test_records_and_examples(tmp_path: Path, pickles: Pickles) -> None:
    record = keep(tmp_path / "runs", "next_item")
    examples = record.with_name(results.EXAMPLES)
    # Arrow's own kind of extension, whose metadata old versions of pyarrow unpickled.
    named = {b"ARROW:extension:name": b"arrow.py_extension_type"}
    field = pa.field("user", pa.string(), metadata={
        **named, b"ARROW:extension:metadata": pickles.plain(protocol=0)})  # fmt: skip
    table = pa.table([pa.array(["a", "b"])], schema=pa.schema([field]))
    pq.write_table(table, examples)
    assert read_examples(record)["user"].to_list() == ["a", "b"]
    examples.write_bytes(pickles.plain())
    record.write_bytes(pickles.plain())
    with pytest.raises(UserError, match="cannot be read"):
        read_examples(record)
    with pytest.raises(UserError, match="is broken"):
        results.read_record(record)
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        read_predictions(examples)
    assert not pickles.ran


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.jsonl", "a.csv.gz"])
def test_a_file_of_ones_own(tmp_path: Path, pickles: Pickles, name: str) -> None:
    packed = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(packed(pickles.plain()))
    (tmp_path / "columns.yaml").write_text("user: a\nitem: b\n")
    with pytest.raises(UserError):
        read_own("own/shop", tmp_path / name, OwnSettings())
    assert not pickles.ran


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.mkdir", "!!python/object/new:os.mkdir", "!!python/name:os."]
)
def test_yaml(tmp_path: Path, pickles: Pickles, tag: str) -> None:
    text = f"tuning: {tag} [{str(pickles.trace)!r}]\ntask: x\n"
    path = _file(pickles, text.encode())
    with pytest.raises(UserError, match="not valid YAML"):
        read_tuned(path)
    with pytest.raises(UserError, match="not valid YAML"):
        read_config(path, {}, make_tables())
    assert not pickles.ran


def test_the_journal_of_a_search(pickles: Pickles) -> None:
    space = Space({"rate": Dimension(low=0.1, high=0.2)}, {"rate": 0.1})
    path = _file(pickles, pickles.plain().replace(b"\n", b" ") + b"\n{}\n")
    with pytest.raises(UserError, match="is broken"):
        Study(path, space, {}, 0)
    assert not pickles.ran


def test_what_lies_where_recbole_keeps_its_own(
    tmp_path: Path, pickles: Pickles, monkeypatch
) -> None:
    recbole_own = pytest.importorskip("baselines.recbole_own")
    folder = tmp_path / "data" / "events"
    folder.mkdir(parents=True)
    rows = {"user_id:token": ["a"] * 4, "item_id:token": ["x", "y", "z", "x"]}
    times = {"rating:float": [1.0] * 4, "timestamp:float": [1.0, 2.0, 3.0, 4.0]}
    pl.DataFrame({**rows, **times}).write_csv(folder / "events.inter", separator="\t")
    monkeypatch.chdir(tmp_path)
    for place in (tmp_path / "saved", folder, folder.parent / "saved"):
        place.mkdir(exist_ok=True)
        for kind in ("Dataset", "SequentialDataset"):
            (place / f"events-{kind}.pth").write_bytes(pickles.plain())
    assert recbole_own.own_dataset(folder.parent, 5)["users"] == 1
    assert not pickles.ran
