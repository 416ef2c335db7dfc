"""Real methods, fitted on next to nothing, under the probes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark.cli import main
from benchmark.display.progress import open_progress, quiet_libraries
from benchmark.probing.inputs import drop_feature, empty_history
from benchmark.probing.reopening import reopen
from benchmark.records.results import read_record
from benchmark.registrations import ENCODERS, METHODS
from benchmark.types import Candidates, HistoryBatch
from tests.fakes import make_tables

TINY = {
    "cost": {"users": 0},
    "user_encoder": {
        "transformer": {"width": 16, "layers": 1, "heads": 2},
        "fit": {"history": 8, "batch_size": 16, "epochs": 3, "looks": 1},
        "optimizer": {"learning_rate": 5e-3},
        "features": ["rating"],
    },
    "user_llm": {
        "language_model": {
            "width": 32, "heads": 2, "layers": 1, "vocabulary": 320, "epochs": 1, "batch_size": 64,
        },
        "fusion": {"heads": 2},
        "align": {"steps": 5, "batch_size": 16, "distractors": 1},
        "tune": {
            "targets": 300, "windows": 16, "targets_per_window": 4, "looks": 1,
            "optimizer": {"learning_rate": 5e-3},
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory):
    """Where stages that real methods share are trained once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def real(capfd, monkeypatch, shared_home, tmp_path):
    """Runs the real methods over the small world, on a tiny budget."""
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(shared_home))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("benchmark.plotting.results.draw", lambda *_, **__: [])
    tables = replace(make_tables(), methods=METHODS, encoders=ENCODERS)
    (tmp_path / "tiny.yaml").write_text(json.dumps(TINY))

    def call(*arguments, code=0):
        """The JSON, or where it is to fail what stderr says."""
        got = main([*map(str, arguments), "--json"], tables)
        out, err = capfd.readouterr()
        assert got == code, err
        return err if code else json.loads(out)

    def cell(method, *sets):
        row = call(
            "run", "--task", "next_item", "--dataset", "world", "--threads", "1",
            "--methods", method, "--config", tmp_path / "tiny.yaml", *sets,
        )["rows"][0]  # fmt: skip
        return tmp_path / row["record"]

    call.cell, call.tables = cell, tables
    return call


def test_a_real_language_model_is_asked_whether_it_listens(real):
    record = real.cell("user_llm")
    only = "swap,gate,drop,shuffle_titles,perplexity_lora"
    report = real("probe", record, "--only", only)
    assert report["reproduced"] is True
    rows = {row["probe"]: row for row in report["rows"]}
    # The encoder reads item and rating, so no other feature is dropped.
    assert [name for name in rows if name.startswith("drop_")] == ["drop_item", "drop_rating"]
    assert rows["swap_user"]["metrics"]["nll"]["worse_by"] != 0
    assert all(row["metrics"] for row in rows.values())
    costs = rows["perplexity_lora"]["perplexity"]
    assert set(costs) == {
        f"{when}_{how}_user" for when in ("before", "after") for how in ("with", "without")
    }
    assert costs["before_with_user"] == costs["before_without_user"]  # the gates are shut
    # Without a user, matrices that lora adds still change what the model says.
    assert costs["after_with_user"] != costs["after_without_user"] != costs["before_without_user"]
    assert all(1 < c["low"] <= c["value"] <= c["high"] < 400 for c in costs.values())
    settings = read_record(Path(rows["shuffle_titles"]["record"])).method.settings
    assert settings["shuffle_titles"] is True


@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_a_run_with_a_language_model_of_ones_own_comes_back(real, llm, tmp_path, strategy):
    llm.model.save_pretrained(tmp_path / "own")
    llm.tokenizer.save_pretrained(tmp_path / "own")
    sets = ("fusion.kind=soft_prompt", "projector.latents=2", "tune.targets=200")
    sets += (f"strategy={strategy}",)
    sets = [part for text in sets for part in ("--set", f"user_llm.{text}")]
    record = real.cell("user_llm", "--llm", tmp_path / "own", *sets)
    report = real("probe", record, "--only", "gate_0,empty", "--llm", tmp_path / "own")
    assert report["reproduced"] is True
    assert all(row["metrics"] for row in report["rows"])
    # Weights that no training changed are not kept twice.
    weights = list((record.parent / "model" / "llm").glob("*.safetensors"))
    assert bool(weights) == (strategy == "full")
    assert "say where it is with --llm" in real("probe", record, code=2)


REAL = [
    ("user_encoder", ()),
    ("user_llm", ()),
    ("user_llm", ("projector.latents=2",)),
    ("user_llm", ("fusion.kind=soft_prompt", "loss=item_head")),
    (
        "user_llm",
        ("encoder=dual_encoder", "pretrained=false", "recent_as_text=2", "recent_fields=[rating]"),
    ),
]


@pytest.fixture(params=REAL, ids=lambda param: "-".join((param[0], *param[1])))
def asked(request, real):
    """A reopened run, and the score `[B, N + 1]` it gives every item after some histories."""
    method, sets = request.param
    few = ["user_llm.tune.targets=100"] if method == "user_llm" else []
    settings = [f"{method}.{text}" for text in sets] + few
    record = real.cell(method, *(part for text in settings for part in ("--set", text)))
    with quiet_libraries():
        run = reopen(record, real.tables, open_progress())
    if method == "user_llm":
        open_gates(run.method._model)

    def scores(batch):
        return run.method.rank(batch, Candidates(40), 10).all_scores

    return run, scores


def open_gates(model):
    """So few steps leave the gates all but shut."""
    for name, weight in model.named_parameters():
        if name.endswith("_gate"):
            torch.nn.init.constant_(weight, 0.2)


def test_a_real_model_reads_what_it_claims_and_of_nobody_nothing(asked):
    run, scores = asked
    examples, length = run.cell.split.test, run.method.history_length
    rows, batch = next(examples.batches(9, length))
    own = scores(batch)
    for name in batch.features:
        same = torch.equal(scores(drop_feature(name)(batch, rows)), own)
        assert same == (name not in run.method.features_read)

    nobody = scores(empty_history(batch, rows))
    starts = examples.starts[rows]
    torch.testing.assert_close(nobody, scores(examples.log.gather(starts, starts, length)))
    torch.testing.assert_close(nobody, nobody[:1].expand_as(nobody))
    assert not torch.allclose(own, nobody, atol=1e-5)
    # Who else is asked at the same time has no say in it.
    some = torch.arange(len(batch)) % 2 == 0
    emptied = {
        name: value.masked_fill(some.view(-1, *[1] * (value.ndim - 1)), 0)
        for name, value in batch.features.items()
    }
    mixed = scores(HistoryBatch(emptied, batch.mask & ~some.unsqueeze(1)))
    torch.testing.assert_close(mixed, torch.where(some.unsqueeze(1), nobody, own))


def test_an_encoder_alone_has_no_gate(real):
    report = real("probe", real.cell("user_encoder"))
    assert report["reproduced"] is True
    rows = {row["probe"]: row for row in report["rows"]}
    assert "no language model" in rows.pop("gate_0")["na"]
    assert all(row["metrics"] for row in rows.values())
