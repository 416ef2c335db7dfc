from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.commands.report import TEMPLATE
from benchmark.cost.facts import Cost
from benchmark.records import results
from benchmark.reporting.number_filters import interval, number
from tests.benchmark.reporting.runs import write_comparison, write_run
from tests.benchmark.reporting.test_facts_claims import write_sweep, write_variant

SECTIONS = (
    "Conclusions", "Question", "Data", "Protocol and its known leak", "Methods and budgets",
    "Results by task", "The primary tests", "Everybody against everybody",
    "Slices of the users",
    "Likelihood, calibration, coverage and popularity",
    "How it scales with the length of histories", "Cost", "Ablations",
    "What contradicts the study", "Threats to validity", "What is missing",
    "How to reproduce each number", "Environment",
)  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A report on a comparison of a hub's model, with a sweep, an ablation and a broken record."""
    folder = tmp_path_factory.mktemp("study")
    runs = folder / "runs"
    write_comparison(runs, llm={"name": "org/model"}, command="userllm-bench run --task next_item")
    write_variant(runs, 0.4, llm={"name": "org/model"})
    write_variant(runs, 0.2, "scratch", llm={"name": "org/model"})
    write_sweep(runs)
    (runs / "half").mkdir()
    (runs / "half" / results.RECORD).write_text('{"schema_version": 4')
    assert main(["report", str(runs), "--out", str(folder / "report")]) == 0
    return folder


@pytest.fixture(scope="module")
def text(written) -> str:
    return (written / "report" / "REPORT.md").read_text()


def test_every_section_is_there_in_order(text) -> None:
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == list(SECTIONS)


def test_a_value_of_the_results_is_a_mean_of_records(written, text) -> None:
    stated: dict[str, list[float]] = {}
    for path in written.glob(f"runs/next_item-*--*/{results.RECORD}"):
        record = json.loads(path.read_text())
        stated.setdefault(record["method"]["name"], []).append(record["metrics"]["recall@1"])
    part = text.partition("## Results by task")[2].partition("\n## ")[0]
    found = re.findall(r"^\| (?:\*\*)?(\w+)(?:\*\*)? \| \S* ?\| (\.\d+) \[", part, re.MULTILINE)
    assert found == [
        (name, str(number(sum(values) / len(values))))
        for name, values in sorted(stated.items(), key=lambda own: -sum(own[1]) / len(own[1]))
    ]


def test_the_rule_of_the_primary_tests_stands_in_the_report(text) -> None:
    part = text.partition("## The primary tests")[2].partition("\n## ")[0]
    assert "(full, quick, the largest first)" in part
    assert "Imported models" in part
    assert "Differences and equivalences are each corrected" in part
    assert "(99,999 draws of signs where it is small)" in part
    assert "p of equivalence after Holm" in part
    assert "mean of the lower ends" in text
    assert "interval decides" not in text


def test_titles_and_conclusions_name_the_language_model(text) -> None:
    assert "org/model" in text.partition("\n")[0]
    part = text.partition("## Conclusions")[2].partition("\n## ")[0]
    conclusions = re.findall(r"^- .*", part, re.MULTILINE)
    assert conclusions
    assert all("org/model" in line for line in conclusions)
    results_part = text.partition("## Results by task")[2].partition("\n## ")[0]
    titles = re.findall(r"^### .*", results_part, re.MULTILINE)
    assert titles
    assert all("org/model" in title for title in titles)
    assert all("org/model" in words for words in re.findall(r"!\[([^\]]*)\]\(.*results", text))


def test_the_first_sentence_counts_the_verdicts_of_all_planned_tests(text) -> None:
    first = text.partition("\n## ")[0]
    counts = re.search(
        r"it is better in (\d+), worse in (\d+), equivalent in (\d+), .* (\d+)", first
    )
    assert counts is not None
    part = text.partition("## The primary tests")[2].partition("\n## ")[0]
    marks = re.findall(r"\| (?:▲|▼|≈|\?) (\w+) \|", part)
    verdicts = ("better", "worse", "equivalent", "undecided")
    assert [int(own) for own in counts.groups()] == [marks.count(own) for own in verdicts]
    assert marks
    lines = re.findall(r"\| (\d+) of (\d+) " + r"\| (\d+) " * 4 + r"\|$", first, re.MULTILINE)
    totals = [sum(map(int, column)) for column in list(zip(*lines, strict=True))[2:]]
    assert totals == [int(own) for own in counts.groups()]


def test_the_first_table_names_the_best_of_the_others(text) -> None:
    (own,) = re.findall(r"^\| next_item .*", text.partition("\n## ")[0], re.MULTILINE)
    part = text.partition("## Results by task")[2].partition("\n## ")[0]
    best = re.search(r"^\| (\w+) \| \S+ \| (\.\d+ \[[^]]*\])", part, re.MULTILINE)
    assert best is not None
    assert f"| {best[1]} {best[2]} |" in own


def test_where_slices_are_missing_is_said(tmp_path) -> None:
    other = results.DatasetFacts(name="ml-1m", fingerprint="g", target_hash="t")
    write_comparison(tmp_path / "runs", seeds=(0,))
    write_run(tmp_path / "runs", "user_llm", 0.3, dataset=other, config_hash="e" * 64,
              examples=False, method_changes={"loss": "token"})  # fmt: skip
    assert main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "REPORT.md").read_text()
    part = text.partition("## Slices of the users")[2].partition("\n## ")[0]
    missing = part.partition("Missing, since")[2]
    assert re.findall(r"^- (.*)", missing, re.MULTILINE) == [
        "next_item on ml-1m, split last, test targets, preset quick"
    ]
    threats = text.partition("## Threats to validity")[2].partition("\n## ")[0]
    assert "user_llm (next_item on ml-1m, preset quick)" in threats.partition("set by hand")[2]
    assert "**Size of the language model.**" in threats


def test_the_page_holds_its_figures_and_what_the_text_says(written, text) -> None:
    page = (written / "report" / "report.html").read_text()
    figures = re.findall(r"\]\((figures/[^)]+\.png)\)", text)
    assert len(figures) >= 4
    for name in figures:
        assert (written / "report" / name).read_bytes().startswith(b"\x89PNG")
        assert (written / "report" / name).with_suffix(".svg").exists()
    assert page.count("data:image/png;base64,") == len(figures)
    assert "figures/" not in re.sub(r"<p>.*?</p>", "", page.partition("<main")[2])


def test_what_was_left_out_is_told_in_the_report(text) -> None:
    part = text.partition("### Left out")[2].partition("\n## ")[0]
    assert "half" in part
    assert "no valid JSON" in part


def test_each_number_has_its_command_and_record(written, text) -> None:
    part = text.partition("## How to reproduce")[2]
    assert "userllm-bench run --task next_item  # C" in part
    for path in written.glob(f"runs/*-*/{results.RECORD}"):
        assert str(path) in part


def test_the_same_records_make_the_same_bytes(written, capsys) -> None:
    before = {path: path.read_bytes() for path in written.rglob("report/**/*") if path.is_file()}
    (written / "report" / "REPORT.md").write_text("an older report")
    assert main(["report", str(written / "runs"), "--out", str(written / "report")]) == 0
    told = capsys.readouterr()
    assert "left out: " in told.err
    assert told.out.split() == [str(written / "report" / n) for n in ("REPORT.md", "report.html")]
    after = {path: path.read_bytes() for path in written.rglob("report/**/*") if path.is_file()}
    assert after == before


def test_facts_are_printed_as_json(tmp_path, capsys) -> None:
    write_run(tmp_path, "user_llm", 0.4)
    write_run(tmp_path, "popularity", 0.1, cost=Cost(latency_seconds=float("nan")))
    out = tmp_path / "report"
    assert main(["report", str(tmp_path), "--json", "--margin", "0.5", "--out", str(out)]) == 0
    told = capsys.readouterr()
    facts = json.loads(told.out, parse_constant=lambda name: pytest.fail(name))
    assert facts["rules"]["margin"] == 0.5
    (test,) = facts["families"][0]["tests"]
    assert test["comparison"]["second"] == "popularity"
    own = {row["label"]: row for row in facts["sections"][0]["results"]["rows"]}
    low, high = own["user_llm"]["measured"]["recall@1"]["low"], 0.0
    assert low > high
    assert (
        str(interval((low, own["user_llm"]["measured"]["recall@1"]["high"])))
        in (out / "REPORT.md").read_text()
    )


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("# {{ conclusion }}", "line 1"),
        ("fine\n{% for own in sections %}{{ own.titel }}{% endfor %}", "titel"),
        ("one\n{% if %}", "line 2"),
        ("recall is 0.123", "0.123"),
    ],
)
def test_a_mistake_in_a_template_is_one_line_and_writes_nothing(
    tmp_path, capsys, template, told
) -> None:
    write_run(tmp_path, "user_llm", 0.4)
    own = tmp_path / "own.md"
    own.write_text(template)
    out = tmp_path / "report"
    assert main(["report", str(tmp_path), "--template", str(own), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert str(own) in line
    assert told in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["nowhere"], "there is no folder"),
        (["--margin", "-1"], "--margin -1"),
        (["--margin", "0"], "--margin 0: it must be above 0 and below 1"),
        (["--margin", "5"], "--margin 5: it must be above 0 and below 1"),
        (["--template", "gone.md"], "gone.md"),
    ],
)
def test_wrong_input_is_one_line(tmp_path, capsys, monkeypatch, options, told) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "results" / "runs", "user_llm", 0.4)
    assert main(["report", *options]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("words", ["", " \n", "{# nothing #}"])
def test_a_template_that_says_nothing_is_refused(tmp_path, capsys, words) -> None:
    write_run(tmp_path / "runs", "user_llm", 0.4)
    own, out = tmp_path / "own.md", tmp_path / "out"
    own.write_text(words)
    assert main(["report", str(tmp_path / "runs"), "--template", str(own), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{own} makes an empty report" in line
    assert not out.exists()


def test_a_folder_without_records_says_what_makes_some(tmp_path, capsys) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "run userllm-bench run first" in capsys.readouterr().err
    (tmp_path / "cell").mkdir()
    (tmp_path / "cell" / "record.json").write_text('{"half')
    assert main(["report", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "the first of 1: " in told
    assert "run userllm-bench run first" not in told


def test_the_template_of_the_project_has_what_it_says() -> None:
    assert TEMPLATE.name == "REPORT_TEMPLATE.md"
    assert TEMPLATE.exists()


def test_a_report_needs_no_torch(tmp_path) -> None:
    write_run(tmp_path, "user_llm", 0.4)
    code = (
        "import sys; from benchmark.cli import main; "
        f"assert main(['report', {str(tmp_path)!r}]) == 0; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert (tmp_path / "report" / "report.html").exists()
