import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from benchmark.axes.ablation import axis_names, read_axis, read_grid
from benchmark.cli import main
from benchmark.commands.ablate import changed_options
from benchmark.config import read_config, read_layers
from benchmark.errors import UserError
from benchmark.records.results import load_records
from benchmark.runs.planning import make_cell, open_world
from benchmark.tables import default_tables
from benchmark.variants import Variant
from tests.fakes import make_tables

ROOT = Path(__file__).parents[3]
ISSUE_AXES = [
    "alignment", "encoder", "features", "fusion", "llm_size", "loss", "pretraining", "projector",
    "strategy",
]  # fmt: skip
AXES = {
    "kind": {
        "description": "how it fuses",
        "method": "alpha",
        "default": "deep",
        "values": {
            "deep": {},
            "flat": {"alpha": {"fusion": {"kind": "flat"}}},
            "bad": {"alpha": {"fail": "memory"}},
            "wrong": {"alpha": {"rate": 7}},
            "blind": {"needs": ["smell"], "alpha": {"rate": 0.5}},
        },
    },
    "pace": {
        "description": "how often",
        "method": "alpha",
        "default": "three",
        "embedded_llm": True,
        "values": {"three": {}, "one": {"alpha": {"epochs": 1}}},
    },
    "other": {
        "description": "another method",
        "method": "alpha",
        "metric": "ndcg@10",
        "default": "alpha",
        "values": {"alpha": {}, "beta": {"method": "beta"}},
    },
}


def write_axes(folder):
    folder.mkdir()
    for name, axis in AXES.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(axis, sort_keys=False))
    return replace(make_tables(), ablations=folder)


@pytest.fixture
def tables(tmp_path):
    return write_axes(tmp_path / "axes")


@pytest.fixture
def bench(tmp_path, monkeypatch, capfd, tables):
    """Runs a command over the fakes; every fit of alpha leaves a line in `fits`."""
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "fits"

    def call(*arguments, command="ablate"):
        given = [command, *arguments]
        if command in ("ablate", "run"):
            given += ["--dataset", "world", "--threads", "1", "--set", f"alpha.log={log}"]
        code = main(given, tables)
        out, err = capfd.readouterr()
        return code, out, err

    def rows(*arguments):
        code, out, _ = call(*arguments, "--json")
        return code, json.loads(out)["rows"]

    call.rows = rows
    call.fits = lambda: len(log.read_text().splitlines()) if log.exists() else 0
    return call


# What the axes are.


def test_the_axes_of_the_project_name_what_there_is():
    tables = default_tables()
    assert axis_names(tables) == ISSUE_AXES
    for name in ISSUE_AXES:
        axis = read_axis(name, tables)
        assert axis.ordered[0] == axis.default
        assert len(axis.values) >= 3


def test_values_are_different_cells_and_every_default_is_the_same(tmp_path):
    """`run` alone makes the same cell as the defaults."""
    tables = replace(default_tables(), datasets=make_tables().datasets)
    options = {"task": "next_item", "methods": "user_llm", "dataset": "world", "out": tmp_path}
    config = read_config(None, options, tables)
    layers = read_layers(config, tables)
    world = open_world(config, tables, layers, None, "")

    def hash_of(variant):
        return make_cell("next_item", variant, 0, config, tables, layers, world).config_hash

    plain = hash_of(Variant("user_llm"))
    for name in ISSUE_AXES:
        hashes = [hash_of(variant) for variant in read_grid([name], [], tables).variants]
        assert hashes[0] == plain
        assert len(set(hashes)) == len(hashes)


def test_what_an_axis_brings_in_can_be_set():
    tables = default_tables()
    grid = read_grid(["encoder"], [], tables)
    options = {"task": "next_item", "methods": grid.methods, "set": ["bert4rec.fit.epochs=2"]}
    config = read_config(None, options, tables)
    with pytest.raises(UserError, match="bert4rec is not part of this run"):
        read_layers(config, tables)
    layers = read_layers(config, tables, grid.sections)
    named = [variant.over(layers).encoder(tables, variant.method) for variant in grid.variants]
    assert named == ["user_encoder", "dual_encoder", "bert4rec"]
    assert layers.resolve(tables, "bert4rec").fit.epochs == 2


def test_a_default_that_changes_something_is_refused(tables):
    text = yaml.safe_dump({**AXES["pace"], "default": "one"})
    (tables.ablations / "pace.yaml").write_text(text)
    with pytest.raises(UserError, match="ablation pace: the default 'one' must be a value"):
        read_axis("pace", tables)


def test_a_grid_is_every_combination_after_the_reference(tables):
    grid = read_grid(["kind", "pace"], ["flat,bad", "one,three"], tables)
    combinations = [tuple(variant.axes.values()) for variant in grid.variants]
    assert combinations == [
        ("deep", "three"), ("flat", "one"), ("flat", "three"), ("bad", "one"), ("bad", "three"),
    ]  # fmt: skip
    assert grid.variants[1].settings == {"alpha": {"fusion": {"kind": "flat"}, "epochs": 1}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "which axis? Add --axis: kind, other, pace"),
        (("--axis", "knd"), "unknown axis 'knd': did you mean 'kind'?"),
        (("--axis", "kind", "--values", "flaat"), "unknown value of kind 'flaat': did you mean"),
        (("--axis", "kind", "--values", ","), "--values: the list is empty; kind has deep, flat"),
        (
            ("--axis", "kind", "--values", "flat", "--values", "one"),
            "--values is given 2 times for 1 axis",
        ),
        (("--axis", "kind", "--axis", "kind"), "--axis kind is given twice"),
        (("--axis", "kind", "--axis", "pace", "--axis", "other"), "2 times at most, got 3"),
        (("--axis", "kind", "--set", "alpha.fusion.kind=flat"), "the axis kind varies alpha.f"),
        (("--axis", "pace", "--llm", "org/model"), "--llm org/model: the axis pace varies"),
        (("--axis", "kind", "--task", "next_itm"), "did you mean 'next_item'?"),
    ],
)
def test_wrong_input_is_one_line_and_nothing_runs(bench, arguments, message):
    code, out, err = bench(*arguments)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert message in err
    assert bench.fits() == 0


def test_wrong_input_loads_nothing_heavy():
    script = (
        "import sys\nfrom benchmark.cli import main\n"
        "code = main(['ablate', '--axis', 'fusio'])\n"
        "print(code, [name for name in ('torch', 'pandas', 'polars', 'matplotlib', 'numpy')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "2 []\n"
    assert "did you mean 'fusion'?" in done.stderr


def test_axes_can_be_listed(bench):
    code, out, _ = bench("ablations", command="list")
    assert code == 0
    assert "how it fuses: deep (default), flat, bad, wrong, blind" in out


# What a run of them does.


def test_a_failed_value_is_a_row_that_says_why_and_the_others_go_on(bench):
    code, rows = bench.rows("--axis", "kind")
    assert code == 1
    by_value = {row["axes"]["kind"]: row for row in rows}
    assert list(by_value) == ["deep", "flat", "bad", "wrong", "blind"]
    assert [row["default"] for row in rows] == [True, False, False, False, False]
    assert by_value["bad"]["error"] == "out of memory"
    assert "alpha.rate" in by_value["wrong"]["error"]
    assert by_value["blind"]["na"].startswith("the data set world has no feature smell; it has")
    assert "metrics" not in by_value["bad"]
    assert by_value["deep"]["difference"] == {}
    # Settings that change nothing in the fake: the same users, the same answers.
    same = by_value["flat"]["difference"]
    assert set(same) >= {"recall@1", "recall@10", "ndcg@10"}
    assert same["recall@10"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert by_value["flat"]["cells"][0]["part"] == "validation"
    assert by_value["flat"]["trained_parameters"] == 12


def test_a_users_error_in_one_cell_is_its_row(bench, monkeypatch):
    def fail(self):
        if self.settings.fusion.kind == "flat":
            raise UserError("flat does not fit this data")

    monkeypatch.setattr("tests.fakes.Fake._fail", fail)
    code, rows = bench.rows("--axis", "kind", "--values", "flat")
    assert code == 1
    assert rows[1]["error"] == "flat does not fit this data"
    assert rows[0]["metrics"]


def test_the_default_runs_once_over_axes_and_plain_runs(bench, tmp_path):
    _, kinds = bench.rows("--axis", "kind", "--values", "flat")
    assert bench.fits() == 2
    _, paces = bench.rows("--axis", "pace")
    assert bench.fits() == 3
    assert paces[0]["axes"] == {"pace": "three"}
    assert paces[0]["cells"][0]["record"] == kinds[0]["cells"][0]["record"]
    # Of a grid only what no axis has alone is missing; row and column are there.
    _, grid = bench.rows("--axis", "pace", "--axis", "kind", "--values", "one,three",
                         "--values", "deep,flat")  # fmt: skip
    assert bench.fits() == 4
    assert [row["axes"] for row in grid][:2] == [
        {"pace": "three", "kind": "deep"}, {"pace": "one", "kind": "deep"},
    ]  # fmt: skip
    code, out, _ = bench("--task", "next_item", "--methods", "alpha", "--part", "validation",
                         "--json", command="run")  # fmt: skip
    assert code == 0
    assert bench.fits() == 4
    assert json.loads(out)["rows"][0]["axes"] == {}
    assert len(load_records([tmp_path / "results" / "runs"])) == 4


def test_equal_settings_run_once_even_when_forced(bench, tables):
    axis = {**AXES["kind"], "values": {"deep": {}, "same": {"alpha": {"epochs": 2.0}}}}
    (tables.ablations / "kind.yaml").write_text(yaml.safe_dump(axis))
    _, rows = bench.rows("--axis", "kind", "--force")
    assert bench.fits() == 1
    assert [row["axes"]["kind"] for row in rows] == ["deep", "same"]
    assert rows[0]["metrics"] == rows[1]["metrics"]


def test_a_value_may_be_another_method(bench):
    code, rows = bench.rows("--axis", "other")
    assert code == 0
    assert [row["method"] for row in rows] == ["alpha", "beta"]


def test_the_table_says_differences_and_files(bench, tmp_path):
    code, out, _ = bench("--axis", "kind", "--seeds", "0,1")
    assert code == 1
    for part in (
        "validation targets of 80 users", "seeds 0, 1", "deep *", "+0.000 [+0.000, +0.000]",
        "recall@10", "recall@1 ", "trained", "kind=bad seed 1: error: out of memory",
        "kind=blind: n/a: the data set",
        "results/runs/plots/ablation-kind-world-next_item-quick-validation-",
    ):  # fmt: skip
        assert part in " ".join(out.split()) + " "
    paths = [line.strip() for line in out.splitlines() if line.startswith("  results")]
    assert len(paths) == 6
    assert all((tmp_path / path).is_file() for path in paths)
    assert out.count("kind=blind") == 1


def test_other_options_are_another_figure(bench, tmp_path):
    plots = tmp_path / "results" / "runs" / "plots"
    calls = [(), ("--seeds", "1"), ("--seen", "include"), ("--set", "alpha.rate=0.25"),
             ("--values", "one", "--set", "alpha.fusion.kind=flat")]  # fmt: skip
    for count, more in enumerate(calls, start=1):
        for _ in range(2):  # the same call writes the same file
            code, _, _ = bench("--axis", "pace", *more)
            assert code == 0
            assert len(list(plots.glob("*.png"))) == count


def test_options_are_told_apart_by_what_is_not_the_default(tables):
    grid = read_grid(["kind", "pace"], ["flat", "three,one"], tables)

    def told(**options):
        options = {"task": "next_item", "methods": grid.methods, "dataset": "world", **options}
        return changed_options(read_config(None, options, tables), grid)

    values = {"kind": "deep,flat"}
    assert told() == values
    assert told(seeds="1,0", set=["alpha.rate=0.5", "alpha.log=x", "alpha.rate=0.25"]) == {
        **values, "seeds": "0,1", "alpha.rate": "0.25", "alpha.log": "x",
    }  # fmt: skip
    assert told(seeds="0", seen="include") == {**values, "seen": "include"}
    assert list(told(set=["alpha.rate=0.5", "alpha.log=x"])) == ["kind", "alpha.log", "alpha.rate"]


def test_rows_of_different_code_are_said(bench, tmp_path):
    _, rows = bench.rows("--axis", "pace")
    _, out, _ = bench("--axis", "pace")
    assert "different code" not in out
    path = tmp_path / rows[0]["cells"][0]["record"]
    record = json.loads(path.read_text())
    record["versions"]["torch"] = "0.1"
    path.write_text(json.dumps(record))
    _, out, _ = bench("--axis", "pace")
    assert "rows were made by different code: torch 0.1, " in " ".join(out.split())
    _, _, err = bench("--axis", "pace", "--json")
    assert "note: next_item: rows were made by different code: torch 0.1, " in err


def test_nothing_finished_is_a_table_without_figure(bench):
    code, out, _ = bench("--axis", "pace", "--set", "alpha.fail=nan")
    assert code == 1
    assert "the loss of stage count is nan" in out
    assert "plots:" not in out


def test_an_interrupt_keeps_what_is_finished_and_the_same_command_goes_on(tmp_path):
    axes = tmp_path / "axes"
    write_axes(axes)
    log = tmp_path / "fits"
    slow = {**AXES["kind"], "values": {"deep": {}, "slow": {"alpha": {"wait": 60}}}}
    (axes / "kind.yaml").write_text(yaml.safe_dump(slow, sort_keys=False))
    script = (
        "import sys\nfrom dataclasses import replace\nfrom pathlib import Path\n"
        "from benchmark.cli import main\nfrom tests.fakes import make_tables\n"
        f"sys.exit(main(sys.argv[1:], replace(make_tables(), ablations=Path({str(axes)!r}))))"
    )
    arguments = ["ablate", "--axis", "kind", "--dataset", "world", "--out", str(tmp_path / "out"),
                 "--set", f"alpha.log={log}", "--json"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    begun = time.monotonic()
    while time.monotonic() - begun < 60 and (
        not log.exists() or len(log.read_text().splitlines()) < 2
    ):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1].startswith("error: interrupted; finished cells are kept")
    slow["values"]["slow"]["alpha"]["wait"] = 0.0
    (axes / "kind.yaml").write_text(yaml.safe_dump(slow, sort_keys=False))
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    rows = json.loads(done.stdout)["rows"]
    assert [row["axes"]["kind"] for row in rows] == ["deep", "slow"]
    assert len(log.read_text().splitlines()) == 2  # `slow` without its wait is `deep`
