"""Who was asked the same, who is tested, and what titles say; no test is made here."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from benchmark.evidence.plan import plan_of
from benchmark.records import results
from benchmark.reporting.contests import contests_of
from benchmark.reporting.reading import read_rows
from benchmark.tables import default_tables
from tests.benchmark.reporting.runs import write_comparison, write_run
from tests.records import make_record

TABLES = default_tables()
PLAN = plan_of(TABLES)


def contests(folder):
    rows, _ = read_rows([folder])
    return contests_of(rows, PLAN, TABLES)


def test_of_several_settings_the_studied_one_can_be_tested_and_has_most_seeds(tmp_path) -> None:
    write_run(tmp_path, "user_llm", 0.3, examples=False, created="2026-03-01T00:00:00+00:00")
    write_run(tmp_path, "popularity", 0.1)
    (contest,) = contests(tmp_path)
    assert contest.studied == "user_llm"
    assert contest.untested
    for seed, width in ((0, 8), (1, 8), (0, 16)):
        write_run(
            tmp_path, "user_llm", 0.4, seed, method_changes={"width": width},
            config_hash=f"{width}" * 32,
        )  # fmt: skip
    (contest,) = contests(tmp_path)
    assert contest.studied == "user_llm (width=8)"


def test_an_imported_row_of_that_name_is_not_the_studied_one(tmp_path) -> None:
    write_run(tmp_path, "user_llm", 0.3, imported={"name": "answers", "sha256": "0"})
    (contest,) = contests(tmp_path)
    assert contest.studied == ""


def test_titles_add_what_differs_and_nothing_else(tmp_path) -> None:
    protocol = make_record("x").protocol.model_copy(update={"seen": "include"})
    write_run(tmp_path / "a", "user_llm", 0.4)
    (plain,) = contests(tmp_path)
    write_run(tmp_path / "b", "user_llm", 0.4, protocol=protocol)
    one, two = contests(tmp_path)
    assert [own.title.removeprefix(plain.title) for own in (one, two)] == [
        ", seen items exclude", ", seen items include",
    ]  # fmt: skip
    write_run(tmp_path / "c", "user_llm", 0.4, task=results.Component(name="next_item"))
    dataset = results.DatasetFacts(name="ml-100k", fingerprint="0123456789", target_hash="t")
    write_run(tmp_path / "d", "user_llm", 0.4, dataset=dataset)
    titles = [own.title for own in contests(tmp_path)]
    assert len(set(titles)) == len(titles) == 4
    assert all("version" in own and "data " in own for own in titles)
    assert any("data 01234567" in own for own in titles)
    assert all("targets t" not in own.removeprefix(plain.title) for own in titles)


def test_data_with_most_users_comes_first_and_the_largest_preset(tmp_path) -> None:
    for name, preset, users in (
        ("a", "quick", 10), ("b", "quick", 900), ("b", "full", 900), ("c", "quick", 90),
    ):  # fmt: skip
        dataset = results.DatasetFacts(name=name, fingerprint=name, target_hash=name)
        write_run(
            tmp_path / name / preset, "user_llm", 0.4, dataset=dataset, preset=preset,
            examples=False,
        )  # fmt: skip
        path = next((tmp_path / name / preset).rglob(results.RECORD))
        path.write_text(json.dumps(json.loads(path.read_text()) | {"examples": users}))
    found = [(own.record.dataset.name, own.record.preset) for own in contests(tmp_path)]
    assert found == [("b", "full"), ("b", "quick"), ("c", "quick"), ("a", "quick")]


def test_a_record_that_its_examples_contradict_is_not_tested(tmp_path) -> None:
    write_comparison(tmp_path)
    path = next(tmp_path.glob("*popularity-1*")) / results.RECORD
    values = json.loads(path.read_text())
    values["metrics"]["recall@10"] += 1e-6
    path.write_text(json.dumps(values))
    (contest,) = contests(tmp_path)
    (why,) = contest.untested.values()
    assert "its record says recall@10" in why
    assert "(seed 1)" in why


@pytest.mark.parametrize(
    ("in_record", "in_examples", "told"),
    [
        (float("nan"), None, "its record has no number for recall@1"),
        (None, float("nan"), "the examples beside it nan"),
        (None, float("inf"), "the examples beside it inf"),
    ],
)
def test_what_is_no_number_is_not_tested(tmp_path, in_record, in_examples, told) -> None:
    write_comparison(tmp_path, seeds=(0,))
    folder = next(tmp_path.glob("*popularity*"))
    if in_record is not None:
        values = json.loads((folder / results.RECORD).read_text())
        values["metrics"]["recall@1"] = in_record
        (folder / results.RECORD).write_text(json.dumps(values))
    if in_examples is not None:
        frame = pd.read_parquet(folder / results.EXAMPLES)
        frame["recall@1"] = np.full(len(frame), in_examples)
        frame.to_parquet(folder / results.EXAMPLES)
    (contest,) = contests(tmp_path)
    assert told in contest.untested["popularity"]
    assert contest.tested is not None
    assert [own.label for own in contest.tested.contestants] == ["sasrec", "user_llm"]


def test_a_user_without_a_value_of_the_first_metric_keeps_a_row_from_tests(tmp_path) -> None:
    write_comparison(tmp_path, seeds=(0,))
    folder = next(tmp_path.glob("*popularity*"))
    frame = pd.read_parquet(folder / results.EXAMPLES)
    values = json.loads((folder / results.RECORD).read_text())
    frame.loc[0, "recall@1"] = None
    values["metrics"]["recall@1"] = float(frame["recall@1"].mean())
    frame.to_parquet(folder / results.EXAMPLES)
    (folder / results.RECORD).write_text(json.dumps(values))
    (contest,) = contests(tmp_path)
    assert "no recall@1 of every user" in contest.untested["popularity"]
