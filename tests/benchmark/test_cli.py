import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import __version__
from benchmark.cli import main
from benchmark.commands.table import print_table
from benchmark.records.results import row_of
from tests.fakes import METRICS, make_tables
from tests.records import make_record, write_examples, write_record

TABLES = make_tables()
HEAVY = ("torch", "pandas", "polars", "matplotlib", "lightning", "transformers", "numpy", "rich")


@pytest.fixture
def bench(capfd, monkeypatch, tmp_path):
    """Runs a command line over the fakes and returns code, stdout and stderr."""
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments, tables=TABLES):
        code = main(list(arguments), tables)
        out, err = capfd.readouterr()
        return code, out, err

    return call


RUN = ("run", "--task", "next_item", "--dataset", "world", "--threads", "1")


def test_a_run_ends_with_a_table_and_paths(bench, tmp_path):
    code, out, err = bench(*RUN, "--methods", "alpha,broken", "--seeds", "0,1")
    assert code == 0
    for part in ("recall@10", "mrr@10", "train s", "count 2 ep", "-.9", "broken: n/a: it needs"):
        assert part in out
    assert "results/runs/world-next_item-alpha-s0-" in out
    paths = [line.strip() for line in out.splitlines() if line.startswith("  results")]
    assert len(paths) == 6
    assert all((tmp_path / path).is_file() for path in paths)
    assert "\x1b" not in out + err
    assert "\r" not in out + err
    assert "alpha seed 0: count" in err
    # What a library prints must not end up among the results.
    assert "talks on stdout" in err
    assert "talks on stdout" not in out


def test_a_list_may_be_given_in_parts(bench):
    parts = ("--methods", "alpha", "--methods", "beta", "--seeds", "0", "--seeds", "2,0")
    _, out, _ = bench(*RUN, *parts, "--json")
    rows = [(row["method"], row["seed"]) for row in json.loads(out)["rows"]]
    assert sorted(rows) == [("alpha", 0), ("alpha", 2), ("beta", 0), ("beta", 2)]


def test_json_is_one_object_on_stdout(bench):
    code, out, _ = bench(*RUN, "--methods", "alpha,beta,broken", "--set", "beta.fail=nan", "--json")
    assert code == 1
    rows = json.loads(out)["rows"]
    assert [row["method"] for row in rows] == ["alpha", "beta", "broken"]
    alpha, beta, broken = rows
    assert set(alpha["metrics"]) == {"recall@1", "recall@5", "recall@10", "ndcg@10", "mrr@10"}
    assert all(len(interval) == 2 for interval in alpha["intervals"].values())
    assert alpha["record"].endswith("record.json")
    assert beta["error"] == "the loss of stage count is nan"
    assert broken["na"]


def test_smoke_says_that_its_numbers_mean_nothing(bench):
    _, out, _ = bench(*RUN, "--methods", "alpha", "--preset", "smoke")
    assert "mean nothing" in out
    _, out, err = bench(*RUN, "--methods", "alpha", "--preset", "smoke", "--json")
    assert json.loads(out)["rows"]
    assert "mean nothing" in err


def test_figures_show_earlier_runs_of_the_folder_too(bench, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "benchmark.plotting.results.draw",
        lambda rows, folder: shown.append({row.method for row in rows}),
    )
    bench(*RUN, "--methods", "alpha", "--json")
    bench(*RUN, "--methods", "beta", "--json")
    bench(*RUN, "--methods", "beta", "--seen", "include", "--json")
    assert shown == [{"alpha"}, {"alpha", "beta"}, {"beta"}]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["run"], ["which task?", "next_item"]),
        (["run", "--taks", "x"], ["--taks", "--task"]),
        (["run", "--task"], ["--task"]),
        ([*RUN, "--threads", "many"], ["--threads", "many"]),
        (["rum"], ["'rum'", "run"]),
        (["list"], ["which table?", "methods"]),
        (["list", "metods"], ["unknown table 'metods'", "did you mean 'methods'?"]),
        (["list", "tasks", "x"], ["takes no further argument", "'x'"]),
        (["list", "settings", "alfa"], ["did you mean 'alpha'?"]),
        ([*RUN, "--methods", "alfa"], ["unknown method 'alfa'", "did you mean 'alpha'?"]),
        ([*RUN, "--seeds", "a"], ["'a' is no seed"]),
        ([*RUN, "--methods", ""], ["--methods", "empty"]),
        ([*RUN, "--config", "none.yaml"], ["no configuration file 'none.yaml'"]),
        ([*RUN, "--set", "alpha.epohs=1"], ["did you mean 'alpha.epochs'?"]),
        ([*RUN, "--llm", "./none"], ["--llm ./none", "no such folder"]),
        ([*RUN, "--methods", "alpha", "--out", "/proc/none/x"], ["--out", "cannot be written"]),
        (["plot", "none"], ["there is no folder 'none'"]),
        (["plot"], ["there is no folder 'results/runs'"]),
        (["plot", "9" * 400], ["there is no folder '999"]),
        (["probe", "9" * 400], ["999", "too long"]),
    ],
)
def test_wrong_input_is_one_line_and_code_2(bench, arguments, parts):
    code, out, err = bench(*arguments)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert err.startswith("error: ")
    for part in parts:
        assert part in err


def test_a_failed_cell_makes_code_1_and_names_the_traceback(bench):
    code, out, err = bench(*RUN, "--methods", "alpha,beta", "--set", "alpha.fail=crash")
    assert code == 1
    assert "alpha seed 0: error: RuntimeError: it broke on two lines (traceback: " in out
    assert "Traceback" not in out + err


def test_plot_draws_what_lies_in_a_folder(bench, tmp_path):
    for method in ("alpha", "beta"):
        record = make_record(method)
        write_record(tmp_path / "runs" / method, record)
        write_examples(tmp_path / "runs" / method, record)
    code, out, _ = bench("plot", "runs", "--out", "figures")
    assert code == 0
    assert len(out.splitlines()) == len(list((tmp_path / "figures").iterdir())) == 4
    code, out, err = bench("plot", "runs", "--json")
    assert [row["method"] for row in json.loads(out)["rows"]] == ["alpha", "beta"]
    assert len(err.splitlines()) == 4


def test_plot_of_a_broken_record_is_one_line(bench, tmp_path):
    write_record(tmp_path / "runs", make_record("alpha")).write_text("{")
    code, out, err = bench("plot", "runs")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "broken" in err


def test_lists_show_what_there_is_and_whether_it_works(bench):
    code, out, _ = bench("list", "methods")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert list(lines) == list(TABLES.methods)
    assert "unavailable" in lines["broken"]
    assert "get it" in lines["broken"]
    assert "no_such_module" in bench("list", "datasets")[1]
    assert "next_item" in bench("list", "tasks")[1]
    assert bench("list", "metrics")[1].split()[0] == "recall@1"
    assert "mean nothing" in bench("list", "presets")[1]
    _, out, _ = bench("list", "settings")
    assert "next_item.k " in out
    assert out.count("beta.epochs") == 1
    _, out, _ = bench("list", "settings", "alpha")
    assert {line.split(".")[0] for line in out.splitlines()} == {"alpha"}
    assert "alpha.fusion.every  3" in out


def test_a_list_of_nothing_names_the_tables(bench):
    code, out, err = bench("list")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert all(name in err for name in ("datasets", "methods", "presets", "splits"))


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan"])
def test_a_setting_that_is_no_finite_number_is_refused_at_once(bench, tmp_path, number):
    code, _, err = bench(*RUN, "--methods", "alpha", "--set", f"alpha.wait={number}")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "alpha.wait: should be a finite number" in err
    assert not (tmp_path / "results").exists()


def test_help_shows_an_example_for_each_command(bench):
    for command in ([], ["run"], ["list"], ["plot"]):
        code, out, _ = bench(*command, "--help")
        assert code == 0
        assert "Example: userllm-bench" in " ".join(out.split())


@pytest.mark.parametrize("command", ["ablate", "sweep", "tune"])
def test_a_task_that_need_not_be_given_is_told_by_the_help(bench, command):
    _, out, _ = bench(command, "--help")
    (_, _, options) = out.partition("--task")
    assert "default next_item" in " ".join(options.partition("--dataset")[0].split())


def test_the_version_is_said(bench):
    assert bench("--version") == (0, f"userllm-bench {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"], ["--version"], ["run", "--help"], ["list", "methods"], ["list", "datasets"],
        ["list", "metrics"], ["list", "tasks"], ["import", "--help"], ["verify", "--help"],
        ["publish", "--help"], ["data", "export", "--help"],
    ],
)  # fmt: skip
def test_help_and_lists_import_nothing_heavy(arguments):
    code = (
        "import sys; from benchmark.cli import main; code = main(sys.argv[1:]);"
        "print(code, *sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    code, *modules = done.stderr.split()
    assert code == "0"
    assert not set(HEAVY) & set(modules)
    # What is imported is nearly all that they take: a count does not hang on who else computes.
    assert len(modules) < 400


@pytest.mark.parametrize("width", [80, 132])
def test_the_table_fits_its_terminal(monkeypatch, capsys, width):
    monkeypatch.setattr("benchmark.commands.table._PLAIN_WIDTH", width)
    record = make_record("user_llm_prior")
    metrics = dict.fromkeys(METRICS, 0.25)
    record = record.model_copy(
        update={
            "metrics": metrics,
            "intervals": dict.fromkeys(METRICS, (0.2, 0.3)),
            "budget": {"text": "encoder 60 ep, language_model 12 ep, align 600 steps, tune 3 ep"},
        }
    )
    print_table([row_of(record, Path("p"))], METRICS)
    out = capsys.readouterr().out
    table, _, _ = out.partition("user_llm_prior seed 0: budget")
    assert max(len(line) for line in table.splitlines()[1:8]) <= width
    assert "user_llm_prior " in table
    assert out.count(".200-.300") == len(METRICS)
    assert "…" not in out
    assert "tune 3 ep" in out


@pytest.mark.parametrize(("users", "told"), [(1, "1 user can"), (29, "29 users can"), (30, "")])
def test_few_users_are_said_to_say_little(users, told, capsys):
    print_table([row_of(make_record("sasrec", examples=users), Path("p"))], METRICS)
    notes = [own for own in capsys.readouterr().out.splitlines() if "next to nothing" in own]
    assert notes == ([f"{told} be asked: these numbers say next to nothing"] if told else [])


def test_the_table_says_what_was_changed_of_a_method(capsys):
    changed = row_of(make_record("alpha", method_changes={"fusion.every": 2}), Path("x"))
    print_table([changed, row_of(make_record("beta"), Path("y"))], ["recall@1"])
    first, second, third = (line.split() for line in capsys.readouterr().out.splitlines()[4:7])
    assert first[0] == "alpha"
    assert second[0] == "fusion.every=2"
    assert third[0] == "beta"


def test_progress_names_the_task_where_there_are_several(bench):
    _, _, err = bench(*RUN[:2], "next_item,writing", *RUN[3:], "--methods", "alpha")
    assert "next_item: alpha seed 0" in err.splitlines()
    _, _, err = bench(*RUN, "--methods", "alpha", "--force")
    assert "alpha seed 0" in err.splitlines()


def test_a_table_of_failures_says_what_was_asked_for(bench):
    code, out, _ = bench(*RUN, "--methods", "alpha", "--set", "alpha.fail=crash")
    assert code == 1
    assert "next_item on world: preset quick" in out


def test_nothing_read_from_a_closed_pipe_is_no_traceback():
    done = subprocess.run(
        f"{sys.executable} -m benchmark list settings | true",
        shell=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
