from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import polars as pl
import pytest

from benchmark.entries import MethodEntry
from benchmark.errors import UserError
from benchmark.records import results
from benchmark.registry import Registry
from benchmark.reporting.facts import make_report
from benchmark.reporting.language_model import language_model_of, named
from benchmark.tables import default_tables
from tests.benchmark.reporting.runs import USERS, write_comparison, write_run
from tests.records import make_record

TABLES = default_tables()


def report_of(folder, margin=0.01, tables=TABLES):
    return make_report([folder], tables, margin)


def next_item_claim(report):
    return next(own for own in report.claims if own.name == "next_item")


def left_out(report) -> str:
    return "\n".join(f"{own.what}: {own.why}" for own in report.left_out)


def test_means_over_seeds_are_those_of_records(tmp_path) -> None:
    write_comparison(tmp_path)
    (section,) = report_of(tmp_path).sections
    for row in section.results.rows:
        for metric, own in row.measured.items():
            stated = [record.metrics[metric] for record in row.records]
            assert own.value == pytest.approx(sum(stated) / 2)
            assert own.seeds == tuple(stated)
            assert own.low <= own.value <= own.high
    values = [row.measured["recall@1"].value for row in section.results.rows]
    assert values == sorted(values, reverse=True)


def test_of_one_seed_the_interval_is_the_record_s(tmp_path) -> None:
    write_comparison(tmp_path, seeds=(0,))
    (section,) = report_of(tmp_path).sections
    assert section.results.one_seed
    for row in section.results.rows:
        (record,) = row.records
        own = row.measured["recall@1"]
        assert (own.low, own.high) == record.intervals["recall@1"]


def test_primary_tests_are_one_family_a_data_set_and_mark_the_rows(tmp_path) -> None:
    write_comparison(tmp_path)
    other = results.DatasetFacts(name="ml-1m", fingerprint="g", target_hash="t")
    write_comparison(tmp_path, dataset=other, config_hash="b" * 64)
    report = report_of(tmp_path, margin=0.05)
    assert [family.dataset for family in report.families] == ["ml-100k", "ml-1m"]
    for family, section in zip(report.families, report.sections, strict=True):
        verdicts = {own.comparison.second: own.comparison.verdict for own in family.tests}
        assert verdicts == {"sasrec": "equivalent", "popularity": "better"}
        marks = {row.label: row.measured["recall@1"].mark for row in section.results.rows}
        assert marks == {"user_llm": "", "sasrec": "≈", "popularity": "▲"}


def test_validation_targets_and_other_presets_are_shown_and_not_in_the_family(tmp_path) -> None:
    protocol = make_record("x").protocol.model_copy(update={"part": "validation"})
    write_comparison(tmp_path, protocol=protocol)
    report = report_of(tmp_path)
    assert not report.families
    assert not report.conclusions
    assert report.sections[0].matrix is not None
    assert report.threats.validation == 6


def test_a_conclusion_is_made_of_verdicts_and_names_the_language_model(tmp_path) -> None:
    write_comparison(tmp_path, llm={"name": "org/model"})
    (own,) = report_of(tmp_path, margin=0.05).conclusions
    assert [test.second for test in own.better] == ["popularity"]
    assert [test.second for test in own.equivalent] == ["sasrec"]
    assert (own.worse, own.undecided, own.untested) == ((), (), "")
    assert "org/model" in own.language_model
    assert own.place == 1


def test_places_are_not_taken_by_other_settings_of_the_same_method(tmp_path) -> None:
    write_comparison(tmp_path, seeds=(0,))
    (alone,) = report_of(tmp_path).conclusions
    write_run(tmp_path, "user_llm_item_head", 0.99)
    (own,) = report_of(tmp_path).conclusions
    assert (own.place, own.of) == (alone.place, alone.of) == (1, 3)
    assert own.other != "user_llm_item_head"


def test_records_older_than_the_rules_of_the_tests_are_named(tmp_path) -> None:
    write_comparison(tmp_path, seeds=(0,), created="2026-11-29T09:00:00+00:00")
    assert not report_of(tmp_path).conclusions[0].known_before
    write_run(tmp_path, "popularity", 0.1, created="2026-11-28T09:00:00+00:00")
    assert report_of(tmp_path).conclusions[0].known_before


def test_the_matrix_has_a_verdict_on_each_pair_and_its_reverse(tmp_path) -> None:
    write_comparison(tmp_path)
    matrix = report_of(tmp_path).sections[0].matrix
    turned = {"▲": "▼", "▼": "▲"}
    for one, row in enumerate(matrix.rows):
        assert row.marks[one] == ""
        for other, mark in enumerate(row.marks):
            assert turned.get(mark, mark) == matrix.rows[other].marks[one]
    assert "▲" in matrix.rows[0].marks


def test_slices_and_facts_about_rankings_come_from_examples(tmp_path) -> None:
    write_comparison(tmp_path)
    (section,) = report_of(tmp_path).sections
    assert {own.slicing for own in section.slices} >= {"target", "timestamp"}
    for table in section.slices:
        assert all(len(row.cells) == len(table.heads) for row in table.rows)
        assert sum(head.users for head in table.heads) <= USERS
    quality = {own.label: own for own in section.qualities}
    assert quality["user_llm"].popularity_lift == pytest.approx(0.5)


def test_rankings_of_labels_have_no_coverage_of_items(tmp_path) -> None:
    write_comparison(tmp_path, seeds=(0,))
    for path in tmp_path.rglob(results.EXAMPLES):
        pd.read_parquet(path).drop(columns="target_rank").to_parquet(path)
    assert report_of(tmp_path).sections[0].qualities == ()


def test_what_was_asked_otherwise_is_another_comparison_with_a_title_of_its_own(tmp_path) -> None:
    write_comparison(tmp_path, seeds=(0,))
    protocol = make_record("x").protocol.model_copy(update={"seen": "include"})
    write_run(tmp_path, "user_llm", 0.4, protocol=protocol, config_hash="e" * 64)
    write_run(tmp_path, "popularity", 0.9, protocol=protocol, config_hash="e" * 64)
    report = report_of(tmp_path)
    assert len({own.title for own in report.sections}) == 2
    (family,) = report.families
    assert {own.comparison.second for own in family.tests} == {"sasrec", "popularity"}
    first, second = report.conclusions
    assert [test.second for test in first.better] == ["popularity"]
    assert "seen items (include and exclude)" in second.exploratory
    assert (second.better, second.worse, second.undecided) == ((), (), ())
    assert all(own.where == family.tests[0].where for own in next_item_claim(report).evidence)


def test_a_method_of_another_name_is_studied_where_the_tables_say_so(tmp_path) -> None:
    methods: Registry[MethodEntry] = Registry("method")
    for name, entry in TABLES.methods.items():
        methods.add("ours" if name == "user_llm" else name, entry)
    write_run(tmp_path, "ours", 0.4)
    write_run(tmp_path, "popularity", 0.1)
    tables = replace(TABLES, methods=methods, ablations=tmp_path)
    report = report_of(tmp_path, tables=tables)
    assert report.question.studied == "ours"
    assert [own.method for own in report.conclusions] == ["ours"]
    assert "user_llm" not in "".join(own.statement for own in report.claims)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("{", "no valid JSON"),
        ('{"schema_version": 99}', "newer version"),
        ('{"schema_version": 4}', "config_hash"),
    ],
)
def test_a_record_that_cannot_be_read_is_left_out_with_a_line(tmp_path, broken, told) -> None:
    write_comparison(tmp_path)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / results.RECORD).write_text(broken)
    report = report_of(tmp_path)
    assert told in left_out(report)
    assert len(report.origins) == 6
    assert report.families


def test_a_metric_that_is_no_number_is_left_out_and_the_others_stay(tmp_path) -> None:
    write_comparison(tmp_path, seeds=(0,))
    path = next(tmp_path.glob("*popularity*")) / results.RECORD
    values = json.loads(path.read_text())
    values["metrics"]["recall@10"] = float("nan")
    path.write_text(json.dumps(values))
    report = report_of(tmp_path)
    assert "recall@10 of" in left_out(report)
    rows = {row.label: row for row in report.sections[0].results.rows}
    assert set(rows["popularity"].measured) == {"recall@1"}


def test_rows_without_examples_or_of_other_users_have_numbers_and_no_test(tmp_path) -> None:
    write_comparison(tmp_path, seeds=(0,))
    write_run(tmp_path, "bert4rec", 0.2, examples=False)
    write_run(tmp_path, "dual_encoder", 0.2, users=7)
    report = report_of(tmp_path)
    told = left_out(report)
    assert "bert4rec" in told
    assert "no examples.parquet" in told
    assert "not about the users" in told
    tested = {own.comparison.second for own in report.families[0].tests}
    assert tested == {"sasrec", "popularity"}
    assert {row.label for row in report.sections[0].results.rows} > {"bert4rec", "dual_encoder"}


def test_fewer_examples_than_the_record_says_are_not_compared(tmp_path) -> None:
    write_comparison(tmp_path, seeds=(0,))
    write_run(tmp_path, "bert4rec", 0.2, examples=True, config_hash="c" * 64)
    path = next(tmp_path.glob("*bert4rec*")) / results.RECORD
    values = json.loads(path.read_text()) | {"examples": USERS + 1}
    path.write_text(json.dumps(values))
    assert f"speaks of {USERS + 1} examples" in left_out(report_of(tmp_path))


def test_runs_without_a_common_task_have_tables_of_their_own(tmp_path) -> None:
    write_run(tmp_path, "user_llm", 0.4)
    write_run(tmp_path, "popularity", 0.1, task=results.Component(name="favorite_genre"))
    report = report_of(tmp_path)
    assert len(report.sections) == 2
    assert not report.families
    assert "no baseline" in report.conclusions[0].untested


def test_versions_that_differ_are_stated(tmp_path) -> None:
    write_run(tmp_path, "user_llm", 0.4, schema_version=2, versions={"userllm-bench": "0.1"})
    write_run(tmp_path, "popularity", 0.1, versions={"userllm-bench": "0.2"})
    environment = report_of(tmp_path).environment
    assert environment.schemas == (2, results.SCHEMA_VERSION)
    assert environment.versions == ("0.2", "0.1")
    assert "userllm-bench 0.2, 0.1" in environment.code


def test_what_no_record_answers_is_missing_with_a_command(tmp_path) -> None:
    write_comparison(tmp_path, seeds=(0,))
    missing = {own.what: own for own in report_of(tmp_path).missing}
    told = "\n".join(missing)
    for expected in ("favorite_genre under split last", "the length of histories", "ablation"):
        assert expected in told
    assert all(own.command.startswith("userllm-bench ") for own in missing.values())
    assert missing["5 seeds of popularity, sasrec, user_llm (there: 1)"].command == (
        "userllm-bench run --task next_item --methods popularity,sasrec,user_llm --seen exclude "
        "--seeds 0,1,2,3,4"
    )
    assert "next_item under split last" not in told


def test_without_a_record_there_is_no_report(tmp_path) -> None:
    with pytest.raises(UserError, match="no record that can be read"):
        report_of(tmp_path)
    (tmp_path / results.RECORD).write_text("{")
    with pytest.raises(UserError, match="valid JSON"):
        report_of(tmp_path)


def test_a_language_model_is_named_with_what_it_learnt_from() -> None:
    plain = make_record("sasrec")
    assert language_model_of(plain) is None
    hub = language_model_of(plain.model_copy(update={"llm": {"name": "org/model"}}))
    assert hub is not None
    assert (hub.embedded, hub.phrase.startswith("org/model")) == (False, True)
    settings = {"language_model": {"layers": 2, "width": 64}}
    trained = plain.model_copy(
        update={
            "method": results.Component(name="user_llm", settings=settings),
            "fit": results.Fit(
                seconds=1, wall_seconds=1, stages=(results.Stage(name="language_model", seconds=1),)
            ),
        }
    )
    own = language_model_of(trained)
    assert own is not None
    assert own.embedded
    assert "(2 layers of width 64)" in own.phrase
    method = trained.method.model_copy(
        update={"settings": {"language_model": {"layers": 2, "width": 64, "vocabulary": 8000}}}
    )
    own = language_model_of(trained.model_copy(update={"method": method}))
    assert own is not None
    assert "(2 layers of width 64) with at most 8,000 tokens, pretrained" in own.phrase
    assert "with at most 2,000 or 8,000 tokens" in named([own, replace(own, vocabulary=2000)])
    assert "ml-100k" in own.phrase
    assert named([]) == "no language model"


def test_a_trial_run_decides_nothing(tmp_path) -> None:
    write_comparison(tmp_path, seeds=(0,), preset="smoke")
    report = report_of(tmp_path)
    assert report.families == ()
    (own,) = report.conclusions
    assert "preset smoke" in own.exploratory
    assert (own.better, own.worse) == ((), ())
    assert next_item_claim(report).outcome == "missing"
    assert next_item_claim(report).lacking


def test_two_comparisons_of_one_title_have_their_own_tests(tmp_path) -> None:
    """Titles show the beginning of a hash alone, and that may be the same."""
    for data, rate in (("a", 0.1), ("b", 0.9)):
        dataset = results.DatasetFacts(
            name="ml-100k", fingerprint=f"{'0' * 8}{data}", target_hash="t"
        )
        write_run(tmp_path / data, "user_llm", 0.4, dataset=dataset)
        write_run(tmp_path / data, "popularity", rate, dataset=dataset)
    report = report_of(tmp_path)
    assert len({own.where for own in report.conclusions}) == 1
    assert sorted((len(own.better), len(own.worse)) for own in report.conclusions) == [
        (0, 1), (1, 0),
    ]  # fmt: skip


def test_examples_with_other_columns_leave_a_line_and_the_rest_stands(tmp_path) -> None:
    write_comparison(tmp_path, seeds=(0,))
    path = next(tmp_path.glob("*popularity*")) / results.EXAMPLES
    frame = pd.read_parquet(path)
    frame.assign(ranked=frame["target_rank"]).to_parquet(path)
    other = next(tmp_path.glob("*sasrec*")) / results.EXAMPLES
    pd.read_parquet(other).drop(columns="target_rank").to_parquet(other)
    report = report_of(tmp_path)
    assert "facts about rankings of popularity (next_item" in left_out(report)
    assert [own.label for own in report.sections[0].qualities] == ["user_llm"]
    assert len(report.families[0].tests) == 2


def test_circumstances_that_are_no_numbers_leave_a_line(tmp_path, monkeypatch) -> None:
    def broken(*_args):
        raise pl.exceptions.ColumnNotFoundError("history_events")

    monkeypatch.setattr("benchmark.reporting.facts_section.slice_tables", broken)
    write_comparison(tmp_path, seeds=(0,))
    report = report_of(tmp_path)
    assert "slices (next_item" in left_out(report)
    assert report.sections[0].slices == ()
    assert report.families


def test_what_nobody_knows_of_an_imported_model_is_missing(tmp_path) -> None:
    write_run(tmp_path, "user_llm", 0.4)
    write_run(tmp_path, "theirs", 0.3, imported={"name": "answers.csv", "sha256": "0"})
    report = report_of(tmp_path)
    (section,) = report.sections
    methods = {own.label: own for own in section.methods}
    costs = {own.label: own for own in section.costs}
    theirs, cost = methods["theirs"], costs["theirs"]
    assert (theirs.parameters, theirs.trained, theirs.reads_text) == (None, None, None)
    unknown = (cost.training_seconds, cost.evaluation_seconds, cost.peak_memory_bytes)
    assert unknown == (None, None, None)
    assert costs["user_llm"].training_seconds == 30
    assert methods["user_llm"].reads_text is False
    assert not report.families
