"""A report tells settings that a search found from those that somebody set by hand."""

from __future__ import annotations

import re

import pytest

from benchmark.cli import main
from benchmark.records import results
from tests.benchmark.reporting.runs import write_run

SEARCH = {
    "method": "sasrec", "file": "ml-100k-next_item.yaml", "trials": 28, "failed": 2,
    "seconds": 3500.0, "encoder_seconds": 0.0, "dataset": "ml-100k", "split": "last",
}  # fmt: skip
FOUND = "tuned: 28 trials in 58m 20s on validation targets of ml-100k, split last"
LEARNT = results.Fit(seconds=30.0, wall_seconds=30.0, parameters=9, trained_parameters=9)


@pytest.fixture
def report(tmp_path):
    """Writes rows, each with what search found its settings, and reads the report's text."""

    def call(**searches):
        write_run(tmp_path / "runs", "popularity", 0.1)
        for method, search in searches.items():
            changes = {"method_changes": {"rate": 0.5}} if search != {} else {}
            write_run(tmp_path / "runs", method, 0.4, fit=LEARNT, tuned=search or None, **changes)
        assert main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "report")]) == 0
        return (tmp_path / "report" / "REPORT.md").read_text()

    return call


def settings_of(text, method):
    (line,) = re.findall(rf"^\| `{method}` \|(?: [^|]*\|){{5}} ([^|]*) \|$", text, re.MULTILINE)
    return line


def choice(text):
    (line,) = re.findall(r"^- \*\*Choice\.\*\* (.*)$", text, re.MULTILINE)
    return line


def test_a_row_says_where_its_settings_come_from(report) -> None:
    text = report(sasrec=SEARCH, bert4rec=None, user_llm={})
    assert settings_of(text, "sasrec") == f"{FOUND}: rate=0.5"
    assert settings_of(text, "bert4rec") == "by hand: rate=0.5"
    assert settings_of(text, "user_llm") == settings_of(text, "popularity") == "nothing"
    assert "1 of 3 records of what trains were found by searches" in choice(text)


def test_a_search_of_something_else_is_named_and_what_stands_on_one_counts_both(report) -> None:
    below = {**SEARCH, "method": "user_encoder"}
    above = {**SEARCH, "method": "user_llm", "encoder_seconds": 600.0, "set": ["loss"]}
    text = report(user_llm_item_head=below, user_llm=above)
    assert settings_of(text, "user_llm_item_head").startswith("tuned as user_encoder: 28 trials")
    assert settings_of(text, "user_llm") == (
        "tuned: 28 trials in 58m 20s, after 10m 00s for its encoder, on validation targets of "
        "ml-100k, split last, by hand loss: rate=0.5"
    )


def test_the_threat_says_how_much_was_tuned(report) -> None:
    assert choice(report(sasrec=SEARCH)).startswith("The settings of everything that trains were")


def test_where_nothing_was_tuned_somebody_chose(report) -> None:
    assert choice(report(sasrec=None)).startswith(
        "No setting was found by a search: all were chosen"
    )
