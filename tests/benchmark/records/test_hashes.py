"""What tells cells apart beside their settings: version, device, buckets of derived features."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import benchmark
from benchmark import config as configs
from benchmark.config import read_config
from benchmark.errors import UserError
from benchmark.runs import planning
from benchmark.schema import GAP, FeatureSchema, number
from benchmark.system import host
from benchmark.tables import default_tables
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


def test_devices_make_other_cells_where_there_are_several(cell_hash):
    one = cell_hash()
    assert cell_hash(devices=1, num_nodes=1, micro_batches=1) == one
    several = [
        cell_hash(devices=2),
        cell_hash(devices=3),
        cell_hash(micro_batches=2),
        cell_hash(devices=2, micro_batches=2),
    ]
    assert len({one, *several}) == 5
    # Where they stand is nothing to the numbers.
    assert cell_hash(devices=1, num_nodes=2) == several[0]


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


@pytest.fixture
def real_cell(monkeypatch, tmp_path):
    """A cell of the project's own tables over the small world."""
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path))
    tables = replace(default_tables(), datasets=TABLES.datasets)

    def real_cell(task="next_item", method="sasrec", change=lambda world: world, **options):
        options = {"task": task, "dataset": "world", "methods": method, **options}
        config = read_config(None, {**options, "out": tmp_path}, tables)
        layers = configs.read_layers(config, tables)
        world = change(planning.open_world(config, tables, layers, None, ""))
        name = config.task[0]
        return planning.make_cell(name, Variant(method), 0, config, tables, layers, world)

    return real_cell


def test_other_cold_items_make_other_cells(real_cell):
    cells = [
        real_cell(split="cold_items", set=[f"cold_items.{setting}"])
        for setting in ("seed=0", "seed=1", "share=0.2")
    ]
    assert len({cell.config_hash for cell in cells}) == 3


def test_another_label_makes_other_cells_of_labels_alone(real_cell):
    def same(world):
        return world

    def relabelled(world):
        return replace(world, dataset=replace(world.dataset, label_feature="other"))

    settings = {"set": ["favorite_genre.horizon=3"]}
    labels = [real_cell("favorite_genre", change=c, **settings) for c in (same, relabelled)]
    items = [real_cell(change=change) for change in (same, relabelled)]
    assert labels[0].config_hash != labels[1].config_hash
    assert items[0].config_hash == items[1].config_hash


def test_what_shares_nothing_is_the_same_cell_beside_other_tasks(real_cell):
    both = {"task": "next_item,favorite_genre", "set": ["favorite_genre.horizon=3"]}
    alone, beside = real_cell(method="popularity"), real_cell(method="popularity", **both)
    assert alone.config_hash == beside.config_hash
    cell = real_cell(method="sasrec", **both)
    assert cell.config_hash != real_cell(method="sasrec").config_hash
    assert cell.shares
