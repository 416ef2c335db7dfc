"""What tells cells apart beside their settings: version, device, buckets of derived features."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import benchmark
from benchmark import config as configs
from benchmark import host, planning
from benchmark.config import read_config
from benchmark.errors import UserError
from benchmark.schema import GAP, FeatureSchema, number
from benchmark.variants import Variant
from tests.fakes import make_tables

TABLES = make_tables()


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU, as far as torch says."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")


@pytest.fixture
def cell_hash(monkeypatch, tmp_path):
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path))

    def cell_hash(change=lambda world: world, **options):
        options = {"task": "next_item", "dataset": "world", "methods": "alpha", **options}
        config = read_config(None, {**options, "out": tmp_path}, TABLES)
        layers = configs.read_layers(config, TABLES)
        world = change(planning.open_world(config, TABLES, layers, None, ""))
        variant = Variant("alpha")
        cell = planning.make_cell("next_item", variant, 0, config, TABLES, layers, world)
        return cell.config_hash

    return cell_hash


def test_another_version_makes_other_cells(cell_hash, monkeypatch):
    before = cell_hash()
    monkeypatch.setattr(benchmark, "__version__", "another")
    assert cell_hash() != before


def test_a_gpu_and_what_it_can_make_other_cells(cell_hash, gpu, monkeypatch):
    hashes = [cell_hash(), cell_hash(accelerator="gpu")]
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: False)
    hashes.append(cell_hash(accelerator="gpu"))
    assert len(set(hashes)) == 3
    assert cell_hash(accelerator="cpu") == hashes[0]
    assert cell_hash(accelerator="auto") == hashes[2]


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch):
    for found, chosen in ((True, "gpu"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=found: found)
        assert host.choose_accelerator("auto") == chosen
        assert host.choose_accelerator("cpu") == "cpu"
    with pytest.raises(UserError, match="no CUDA GPU here"):
        host.choose_accelerator("gpu")


def test_an_accelerator_is_one_of_three():
    with pytest.raises(UserError, match="--accelerator"):
        read_config(None, {"task": "next_item", "accelerator": "abacus"}, TABLES)


def test_a_record_names_the_gpu(gpu):
    assert "gpu" not in host.describe_host(1, "cpu")
    assert host.describe_host(1, "gpu")["gpu"] == "A GPU"


def with_gap(*edges):
    """Changes a world to one whose events have a gap with some buckets."""

    def change(world):
        log = world.dataset.events
        features = tuple(f for f in log.schema if f.name != GAP)
        schema = FeatureSchema((*features, number(GAP, edges, derived=True)))
        dataset = replace(world.dataset, events=replace(log, schema=schema))
        return replace(world, dataset=dataset)

    return change


def test_buckets_of_a_derived_feature_count_where_it_is_read(cell_hash):
    assert cell_hash(with_gap(1, 2)) == cell_hash(with_gap(1, 3))
    reads = {"set": ["alpha.names=[gap]"]}
    assert cell_hash(with_gap(1, 2), **reads) != cell_hash(with_gap(1, 3), **reads)
    assert cell_hash(with_gap(1, 2), **reads) == cell_hash(with_gap(1, 2), **reads)


def test_versions_name_our_own_source():
    assert host.package_versions()["userllm-bench"] == benchmark.__version__
