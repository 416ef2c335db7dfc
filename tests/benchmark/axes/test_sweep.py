"""`userllm-bench sweep` over fakes: cells, tables, figures, what goes on and what is refused."""

from __future__ import annotations

import json

import pytest

from benchmark.axes.sweep_points import learning_curve, points_of
from benchmark.cli import main
from benchmark.records.results import load_records
from tests.fakes import make_tables

TABLES = make_tables()
SWEEP = ("sweep", "--task", "next_item", "--dataset", "world", "--threads", "1", "--set",
         "cost.seconds=0.01")  # fmt: skip


@pytest.fixture
def bench(capfd, monkeypatch, tmp_path):
    """Runs a command line over the fakes and returns code, stdout and stderr."""
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = main(list(arguments), TABLES)
        out, err = capfd.readouterr()
        return code, out, err

    return call


def rows_of(out):
    return json.loads(out)["rows"]


def test_every_method_stands_at_every_value_and_what_does_not_move_runs_once(bench, tmp_path):
    code, out, _ = bench(
        *SWEEP, "--axis", "alpha.epochs", "--values", "1,3", "--methods", "alpha,beta",
        "--seeds", "0,1", "--json",
    )  # fmt: skip
    assert code == 0
    rows = rows_of(out)
    assert [(r["method"], r["axes"]["alpha.epochs"], r["seed"]) for r in rows] == [
        (method, value, seed) for seed in (0, 1) for value in (1, 3) for method in ("alpha", "beta")
    ]
    records = {row["record"] for row in rows}
    assert len(records) == 2 * 2 + 2  # beta is the same at either value
    for row in rows:
        assert row["part"] == "validation"
        assert row["cost"]["answer_flops"] >= 0
        assert row["cost"]["latency_seconds"] > 0
        assert row["cost"]["training_seconds"] == 0.5


def test_a_table_and_figures_say_what_was_found(bench, tmp_path):
    code, out, _ = bench(*SWEEP, "--axis", "alpha.epochs", "--values", "2", "--methods", "alpha")
    assert code == 0
    for part in (
        "alpha.epochs",
        "recall@10",
        "FLOPs",
        "no LLM",
        "validation targets",
        "quality.png",
    ):
        assert part in out
    for line in out.splitlines():
        if line.strip().endswith((".png", ".svg", ".json")):
            assert (tmp_path / line.strip()).is_file()


def test_a_sweep_goes_on_where_it_was_and_takes_values_in_any_order(bench, tmp_path):
    log = tmp_path / "fits"
    given = (*SWEEP, "--axis", "alpha.epochs", "--methods", "alpha", "--set", f"alpha.log={log}")
    assert bench(*given, "--values", "5")[0] == 0
    assert bench(*given, "--values", "9,5,7")[0] == 0
    assert len(log.read_text().splitlines()) == 3


def test_a_grid_has_every_pair(bench):
    _, out, _ = bench(
        *SWEEP, "--axis", "alpha.epochs", "--values", "1,2", "--axis", "alpha.fusion.every",
        "--values", "1,4", "--methods", "alpha", "--json",
    )  # fmt: skip
    places = [tuple(row["axes"].values()) for row in rows_of(out)]
    assert places == [(1, 1), (1, 4), (2, 1), (2, 4)]


def test_a_value_that_fails_is_a_row_and_the_others_go_on(bench):
    code, out, _ = bench(
        *SWEEP, "--axis", "alpha.epochs", "--values", "1,2", "--methods", "alpha,beta",
        "--set", "alpha.fail=nan", "--json",
    )  # fmt: skip
    assert code == 1
    assert ["error" in row for row in rows_of(out)] == [True, False] * 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--axis", "alpha.epoch", "--values", "1"), "alpha.epochs"),
        (("--axis", "alpha.epochs", "--values", "-1"), "greater than 0"),
        (("--axis", "alpha.epochs", "--values", "1", "--set", "alpha.epochs=2"), "the axis varies"),
        (("--axis", "alpha.epochs", "--values", "1", "--cost-only"), "--llm-config"),
        (("--axis", "alpha.epochs", "--values", "1", "--llm-config", "gpt2"), "--cost-only"),
        (("--axis", "alpha.epochs", "--values", "1", "--tokenizer", "x"), "--cost-only"),
        (("--axis", "seq_len", "--values", "0"), "1 or more"),
        (("--values", "1"), "which axis"),
    ],
)
def test_wrong_input_is_one_line_and_runs_nothing(bench, tmp_path, options, said):
    code, out, err = bench(*SWEEP, "--methods", "alpha", *options)
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not out
    assert not (tmp_path / "results").exists()


def test_points_average_over_seeds_and_curves_count_every_stage_before(bench, tmp_path):
    bench(*SWEEP, "--axis", "alpha.epochs", "--values", "2", "--methods", "alpha", "--seeds", "0,1")
    rows = load_records([tmp_path / "results" / "runs"])
    placed = [row.model_copy(update={"axes": {"alpha.epochs": 2}}) for row in rows]
    (point,) = points_of(placed)
    values = [row.record.metrics["recall@10"] for row in rows]
    assert point.metrics["recall@10"].value == pytest.approx(sum(values) / 2)
    latencies = [row.record.cost.latency_seconds for row in rows]
    assert point.cost.latency_seconds == pytest.approx(sum(latencies) / 2)

    record = rows[0].record
    (stage,) = record.fit.stages
    first = stage.model_copy(update={"name": "before", "flops": 100.0, "curve": ()})
    last = stage.model_copy(
        update={"flops": 40.0, "steps": 10, "curve": ((0.2, 5, 0.1), (0.5, 10, 0.3))}
    )
    fit = record.fit.model_copy(update={"stages": (first, last)})
    curve = learning_curve(record.model_copy(update={"fit": fit}))
    assert [(p.training_flops, p.value) for p in curve] == [(120.0, 0.1), (140.0, 0.3)]
