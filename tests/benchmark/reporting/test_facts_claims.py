from __future__ import annotations

import json

import pytest

from benchmark.records import results
from benchmark.records.differences import Estimate
from benchmark.reporting.claims_config import read_study
from benchmark.reporting.facts import make_report
from benchmark.reporting.facts_claims import by_interval, outcome_of
from benchmark.tables import default_tables
from tests.benchmark.reporting.runs import make_cost, write_comparison, write_run
from tests.records import make_record

TABLES = default_tables()


def claims_of(folder):
    return {own.name: own for own in make_report([folder], TABLES, 0.01).claims}


def write_variant(folder, rate, value="", **changes):
    """A row of the ablation of pretraining; the default where no value is given."""
    axes = {"pretraining": value} if value else {}
    method_changes = {"pretrained": False, "freeze_encoder": False} if value else {}
    write_run(folder, "user_llm", rate, axes=axes, method_changes=method_changes, **changes)


def write_sweep(folder, lengths=(10, 200), decline=0.0):
    for method, rate, tokens in (("user_llm", 0.3, 4.0), ("text_prompt", 0.2, None)):
        for place, length in enumerate(lengths):
            moved = 0.2 * place if method == "user_llm" else -decline * place
            write_run(
                folder, method, rate + moved, axes={"seq_len": length},
                method_changes={"items": length},
                cost=make_cost(tokens or 10.0 * length, 1e6 if tokens else 1e6 * length),
            )  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "expected", "outcome"),
    [
        ("better", "better", "confirmed"),
        ("worse", "better", "contradicted"),
        ("equivalent", "better", "contradicted"),
        ("undecided", "better", "undecided"),
        ("worse", "worse", "confirmed"),
        ("equivalent", "not_worse", "confirmed"),
        ("worse", "not_worse", "contradicted"),
    ],
)
def test_what_a_verdict_says_to_a_claim(verdict, expected, outcome) -> None:
    assert outcome_of(verdict, expected) == outcome


def test_a_verdict_by_interval() -> None:
    cases = {(0.1, 0.2): "better", (-0.2, -0.1): "worse", (-0.005, 0.005): "equivalent"}
    for (low, high), verdict in cases.items():
        assert by_interval(Estimate((low + high) / 2, low, high), 0.01, 0.5) == verdict
    assert by_interval(Estimate(0.0, -0.1, 0.1), 0.01, 0.5) == "undecided"
    assert by_interval(Estimate(0.0, -0.005, 0.005), 0.01, 0.01) == "undecided"


def test_one_contradiction_contradicts_a_claim_about_all(tmp_path) -> None:
    write_comparison(tmp_path)
    assert claims_of(tmp_path)["next_item"].outcome == "undecided"
    write_run(tmp_path, "bert4rec", 0.9, seed=0)
    claim = claims_of(tmp_path)["next_item"]
    assert claim.outcome == "contradicted"
    assert (claim.contradicting, claim.confirming) == (1, 1)


def test_a_number_without_a_test_is_missing_evidence(tmp_path) -> None:
    write_run(tmp_path, "user_llm", 0.4, examples=False)
    write_run(tmp_path, "popularity", 0.1, examples=False)
    claim = claims_of(tmp_path)["next_item"]
    assert claim.outcome == "missing"
    assert "no examples" in claim.evidence[0].why


def test_a_claim_without_a_record_names_the_command_that_makes_one(tmp_path) -> None:
    write_comparison(tmp_path)
    claims = claims_of(tmp_path)
    assert claims["pretraining"].outcome == "missing"
    assert claims["pretraining"].lacking == "userllm-bench ablate --axis pretraining"
    assert "sweep --axis seq_len" in claims["fewer_flops"].lacking


def test_a_variant_is_held_against_the_default_of_its_axis(tmp_path) -> None:
    write_variant(tmp_path, 0.4)
    write_variant(tmp_path, 0.1, "scratch")
    report = make_report([tmp_path], TABLES, 0.01)
    (ablation,) = report.ablations
    assert [own.name for own in ablation.variants] == ["pretrained", "scratch"]
    difference = ablation.variants[1].difference
    assert difference is not None
    assert difference.high < 0
    (claim,) = (own for own in report.claims if own.name == "pretraining")
    assert claim.outcome == "confirmed"
    # It is no contestant of the comparison, which primary tests are about.
    assert [own.label for own in report.sections[0].results.rows] == ["user_llm"]


def test_the_default_may_have_been_made_by_another_ablation(tmp_path) -> None:
    write_run(tmp_path, "user_llm", 0.4, axes={"fusion": "cross_attention"})
    write_variant(tmp_path, 0.41, "scratch")
    report = make_report([tmp_path], TABLES, 0.01)
    (ablation,) = report.ablations
    assert ablation.axes == ("pretraining",)
    assert [own.label for own in report.sections[0].results.rows] == ["user_llm"]


def test_the_default_has_the_seeds_and_the_version_of_its_variants(tmp_path) -> None:
    """Seeds of other code would move the mean that variants are held against."""
    of_old, of_new = ({"userllm-bench": version} for version in ("0.1.0", "0.5.0"))
    axes = {"pretraining": "pretrained"}
    write_run(tmp_path, "user_llm", 0.2, versions=of_old, config_hash="a" * 64, axes=axes)
    for seed in (0, 1, 2):
        write_variant(tmp_path, 0.4, seed=seed, versions=of_new, created="2026-12-01T00:00:00")
    for versions, value in ((of_old, 0.2), (of_new, 0.4)):
        write_variant(tmp_path, 0.1, "scratch", versions=versions)
        (ablation,) = make_report([tmp_path], TABLES, 0.01).ablations
        reference, variant = ablation.variants
        assert (reference.seeds, variant.seeds) == (1, 1)
        assert reference.estimate.value == pytest.approx(value, abs=0.03)
        assert not ablation.code
    write_variant(tmp_path, 0.1, "scratch", seed=1, versions=of_old)
    (ablation,) = make_report([tmp_path], TABLES, 0.01).ablations
    assert [own.seeds for own in ablation.variants] == [2, 2]
    assert "0.1.0" in ablation.code


def test_a_variant_of_other_settings_has_no_default_here(tmp_path) -> None:
    write_variant(tmp_path, 0.4)
    axes, changes = {"pretraining": "scratch"}, {"pretrained": False, "strategy": "lora"}
    write_run(tmp_path, "user_llm", 0.1, axes=axes, method_changes=changes)
    report = make_report([tmp_path], TABLES, 0.01)
    assert not report.ablations
    assert any("no record of pretraining=pretrained" in own.why for own in report.left_out)


def with_other_tasks():
    protocol = make_record("x").protocol
    return protocol.model_copy(update={"shared_with": ("favorite_genre",)})


def test_fits_that_knew_of_other_tasks_are_ablated_apart(tmp_path) -> None:
    """They are other fits with the same seed, and no seed more of the same."""
    for changes in ({}, {"protocol": with_other_tasks(), "config_hash": "e" * 64}):
        rate = 0.2 if changes else 0.4
        write_variant(tmp_path, rate, **changes)
        write_variant(tmp_path, rate + 0.1, "scratch", **changes)
    alone, shared = make_report([tmp_path], TABLES, 0.01).ablations
    assert shared.title == f"{alone.title}, stages shared with favorite_genre"
    for ablation, value in ((alone, 0.5), (shared, 0.3)):
        assert [own.seeds for own in ablation.variants] == [1, 1]
        assert ablation.variants[1].estimate.value == pytest.approx(value, abs=0.02)
        assert ablation.variants[1].difference.value == pytest.approx(0.1, abs=0.02)


def test_fits_that_knew_of_other_tasks_are_swept_apart(tmp_path) -> None:
    write_sweep(tmp_path)
    (plain,) = make_report([tmp_path], TABLES, 0.01).sweeps
    for length in (10, 200):
        write_run(
            tmp_path, "user_llm", 0.1, axes={"seq_len": length}, protocol=with_other_tasks(),
            method_changes={"items": length}, config_hash=f"{'e' * 61}{length:03}",
        )  # fmt: skip
    alone, shared = make_report([tmp_path], TABLES, 0.01).sweeps
    assert alone.lines == plain.lines
    assert shared.title == f"{alone.title}, stages shared with favorite_genre"
    assert {own.method for own in shared.lines} == {"user_llm", "text_prompt"}
    assert all(own.seeds == 1 for own in shared.lines)


def test_titles_say_what_was_set_of_the_task(tmp_path) -> None:
    """Some users of a data set are not all of them."""
    task = make_record("x").task.model_copy(update={"changes": {"users": 100, "batch_size": 8}})
    write_variant(tmp_path, 0.4, task=task)
    write_variant(tmp_path, 0.2, "scratch", task=task)
    for length in (10, 200):
        write_run(tmp_path, "user_llm", 0.4, axes={"seq_len": length}, task=task,
                  method_changes={"items": length})  # fmt: skip
    report = make_report([tmp_path], TABLES, 0.01)
    for own in (*report.ablations, *report.sweeps):
        assert "split last, users=100, test targets" in own.title
    assert len(report.ablations) == len(report.sweeps) == 1


def test_longer_histories_are_compared_by_user(tmp_path) -> None:
    write_sweep(tmp_path, decline=0.1)
    report = make_report([tmp_path], TABLES, 0.01)
    (sweep,) = report.sweeps
    assert {line.place for line in sweep.lines} == {"seq_len 10", "seq_len 200"}
    assert not report.sections
    outcomes = {own.name: own.outcome for own in report.claims}
    for name in ("every_length", "gains_with_length", "prompt_declines", "advantage_grows",
                 "fixed_tokens", "fewer_flops"):  # fmt: skip
        assert outcomes[name] == "confirmed", name


def test_a_sweep_without_examples_still_counts(tmp_path) -> None:
    write_sweep(tmp_path)
    for path in tmp_path.rglob(results.EXAMPLES):
        path.unlink()
    outcomes = {name: own.outcome for name, own in claims_of(tmp_path).items()}
    assert outcomes["fewer_flops"] == "confirmed"
    assert outcomes["gains_with_length"] == "missing"


def test_a_row_of_a_probe_is_none_of_them(tmp_path) -> None:
    write_comparison(tmp_path, seeds=(0,))
    write_run(tmp_path, "user_llm", 0.3, axes={"probe": "shuffle_titles"}, config_hash="d" * 64)
    report = make_report([tmp_path], TABLES, 0.01)
    assert any("probe=shuffle_titles" in own.why for own in report.left_out)
    assert len(report.sections[0].results.rows) == 3


def test_claims_name_axes_and_tasks_that_are_there() -> None:
    study = read_study()
    for claim in study.claims.values():
        assert claim.task in ("", *TABLES.tasks)
        if claim.axis:
            assert (TABLES.ablations / f"{claim.axis}.yaml").exists()


def test_each_claim_says_what_decides_it(tmp_path) -> None:
    """Only primary tests are corrected; sweeps are decided by a test, ablations by an interval."""
    write_comparison(tmp_path, seeds=(0,))
    for claim in make_report([tmp_path], TABLES, 0.01).claims:
        test = read_study().claims[claim.name].test
        assert ("after Holm" in claim.rule) == (test in ("baselines", "text_prompts"))
        assert ("not corrected, below 5%" in claim.rule) == (
            test in ("at_every_length", "longest_over_shortest")
        )
        assert ("95% interval" in claim.rule) == (test in ("advantage_by_length", "ablation"))
        assert ("90% interval" in claim.rule) == ("p-value, not corrected" in claim.rule)
        assert ("of equivalence after Holm" in claim.rule) == ("its p-value after" in claim.rule)


def test_a_sweep_s_claim_is_decided_by_its_uncorrected_test(tmp_path) -> None:
    write_sweep(tmp_path)
    for claim in claims_of(tmp_path).values():
        for own in claim.evidence:
            if "not corrected, below 5%" in claim.rule:
                assert own.p is not None
                assert (own.outcome == "confirmed") == (own.p < 0.05)


def test_more_arithmetic_at_short_histories_contradicts_a_claim_to_less(tmp_path) -> None:
    write_sweep(tmp_path)
    claim = claims_of(tmp_path)["fewer_flops"]
    assert claim.outcome == "confirmed"
    for length, flops in ((10, 0.8e6), (200, 2.7e6)):
        write_run(
            tmp_path, "text_prompt", 0.2, axes={"seq_len": length},
            method_changes={"items": length}, cost=make_cost(10.0 * length, flops),
        )  # fmt: skip
    claim = claims_of(tmp_path)["fewer_flops"]
    assert claim.outcome == "contradicted"
    assert claim.evidence[0].second == pytest.approx(0.8)


def test_a_sweep_s_record_that_its_examples_contradict_decides_nothing(tmp_path) -> None:
    write_sweep(tmp_path)
    path = next(tmp_path.glob("*user_llm*200*")) / results.RECORD
    values = json.loads(path.read_text())
    values["metrics"]["recall@1"] += 0.1
    path.write_text(json.dumps(values))
    claims = claims_of(tmp_path)
    for name in ("gains_with_length", "advantage_grows"):
        assert claims[name].outcome == "missing"
        assert "its record says recall@1" in claims[name].evidence[0].why
    assert claims["every_length"].missing == 1
