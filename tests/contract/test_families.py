"""Every family of data × task × method that can do it, on small files in the publisher's layout.

The files are made here, prepared by the family's own reader and run through the whole harness with
a tiny budget: what is looked at is that every row has numbers, or says why it cannot have any.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from benchmark.config import read_config
from benchmark.data.made_up.layouts import write_layout
from benchmark.data.made_up.synthetic import SyntheticSettings
from benchmark.data.raw import PrepareSettings
from benchmark.data.store.prepare import prepare
from benchmark.records.results import EXAMPLES, Row
from benchmark.runs.runner import run
from benchmark.tables import Tables, default_tables
from tests.fakes import Silent

TASKS = ("next_item", "favorite_genre", "review_generation")
WORLD = SyntheticSettings(users=24, items=30, events=(12, 16), genres=4, seed=5)
FAMILIES = {
    "ml-1m": ("ml-1m", TASKS[:2]),
    "ml-latest-small": ("ml-latest-small", TASKS[:2]),
    "amazon-2014/Toys": ("amazon-2014/Toys", TASKS),
    "amazon-2018/Toys": ("amazon-2018/Toys", TASKS),
    "amazon-2023/Toys": ("amazon-2023/Toys", TASKS),
    "google-local/Utopia": ("google-local/Utopia", TASKS),
    "own/shop": ("own/shop", TASKS),
}
TINY = """\
description: a trace of training
settings:
  cost: {users: 2, seconds: 0.01, repetitions: 1, batch_sizes: [2]}
  next_item: {bootstrap_samples: 100, validation_users: 8}
  favorite_genre: {bootstrap_samples: 100, validation_users: 8, horizon: 4, positions: 2}
  review_generation: {bootstrap_samples: 100, validation_users: 4, longest: 8}
  sasrec: &fit
    transformer: {width: 16, layers: 1}
    fit: {epochs: 1, looks: 1, history: 12}
    label: {steps: 2, epochs: 0.1, looks: 1}
  bert4rec: *fit
  dual_encoder: *fit
  user_encoder: *fit
  text_prompt: &llm
    language_model: {width: 16, layers: 1, heads: 2, epochs: 0.2, vocabulary: 300}
  user_llm: *llm
"""
EXTRA = {
    "text_prompt": {"items": 4, "targets": 64, "examples": 64, "looks": 1},
    "user_llm": {"align": {"steps": 2}, "tune": {"targets": 64, "examples": 64, "looks": 1}},
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    import yaml

    folder = tmp_path_factory.mktemp("presets")
    preset = yaml.safe_load(TINY)
    for name, more in EXTRA.items():
        preset["settings"][name] = {**preset["settings"][name], **more}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(preset))
    return replace(default_tables(), presets=folder)


def run_family(name: str, tasks: tuple[str, ...], tables: Tables, folder: Path) -> list[Row]:
    layout = FAMILIES[name][0]
    source = write_layout(layout, folder / "files", WORLD, quirks=True)
    prepare(name, tables.dataset(name), source, PrepareSettings(broken=0.5), tell=lambda line: None)
    options = {"task": list(tasks), "dataset": name, "preset": "tiny", "out": folder / "runs",
               "keep_models": False, "threads": 1}  # fmt: skip
    return run(read_config(None, options, tables), tables, Silent())


@pytest.mark.parametrize("name", FAMILIES)
def test_every_method_does_every_task_it_can(
    name: str, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("recbole", reason="bert4rec needs recbole")
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    tasks = FAMILIES[name][1]
    rows = run_family(name, tasks, tables, tmp_path)
    for task in tasks:
        need, metrics = tables.tasks[task].needs, tables.tasks[task].metrics
        own = {row.method: row for row in rows if row.task == task}
        able = {n for n in own if need in tables.methods[n].capabilities}
        assert {n for n, row in own.items() if row.record} == able, {
            n: row.error or row.na for n, row in own.items() if not row.record
        }
        assert all(own[n].na for n in set(own) - able)
        for row in own.values():
            if row.record is None or row.path is None:
                continue
            assert set(metrics) <= set(row.record.metrics)
            examples = pl.read_parquet(row.path.parent / EXAMPLES)
            assert len(examples) == row.record.examples > 0
            for metric in metrics:
                if metric in examples.columns:
                    mean = examples[metric].drop_nulls().cast(pl.Float64).mean()
                    assert row.record.metrics[metric] == pytest.approx(mean, abs=1e-9)
            assert row.record.dataset.licence
            cost = row.record.cost
            assert cost.answer_flops is not None
            assert cost.latency_seconds is not None
            assert not cost.failed
            assert (cost.llm_input_tokens is not None) == tables.methods[row.method].uses_llm
            if task == "next_item" and tables.methods[row.method].uses_llm:
                at_question, stored = cost.billed["at_question"], cost.billed["stored"]
                # Shapes at mean numbers of events and tokens, against what two users took.
                assert at_question.flops == pytest.approx(cost.prompt_flops, rel=0.3)
                assert 0 < stored.flops < at_question.flops
                assert stored.bytes_per_user > 0
                assert cost.billed["new_event"].flops > 0
