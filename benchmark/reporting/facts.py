"""All that a report can say, worked out from stored records alone. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.evidence.comparisons import SIGNIFICANCE
from benchmark.evidence.family import DRAWS, Plan, exploratory, not_planned, primary_tests
from benchmark.evidence.plan import plan_of
from benchmark.reporting import facts_origin as origin
from benchmark.reporting.claims import Findings, hold_claims
from benchmark.reporting.claims_config import read_study
from benchmark.reporting.contests import Contest, contests_of
from benchmark.reporting.data_notes import DataNote, read_notes
from benchmark.reporting.facts_ablation import Ablation, ablations_of
from benchmark.reporting.facts_claims import Claim
from benchmark.reporting.facts_conclusions import Conclusion, conclusion_of
from benchmark.reporting.facts_data import Data, Protocol, data_of, protocols_of
from benchmark.reporting.facts_methods import (
    Summary,
    summaries_of,
)
from benchmark.reporting.facts_missing import Known, missing_of
from benchmark.reporting.facts_primary import Family, families_of, primary_table
from benchmark.reporting.facts_results import MARKS
from benchmark.reporting.facts_section import Section, section_of
from benchmark.reporting.facts_sweeps import Sweep, sweeps_of
from benchmark.reporting.kinds import sort_rows
from benchmark.reporting.language_model import LanguageModel, language_models, named
from benchmark.reporting.missing import Missing
from benchmark.reporting.reading import LeftOut, read_rows, records_of

if TYPE_CHECKING:
    from benchmark.tables import Tables


@dataclass(frozen=True)
class FirstMetric:
    """The metric of a task that primary tests are about."""

    task: str
    summary: str
    metric: str


@dataclass(frozen=True)
class Question:
    """What was asked.

    Attributes:
        studied: The method.
        summary: What it is.
        variants: Methods that are the same with other settings.
        metrics: The first metric of each task.
        language_model: All language models of the records, in a phrase.
        source: Where the study's claims stand.
    """

    studied: str
    summary: str
    variants: tuple[str, ...]
    metrics: tuple[FirstMetric, ...]
    language_model: str
    source: str


@dataclass(frozen=True)
class Rules:
    """What verdicts go by.

    Attributes:
        significance: Level of tests.
        margin: Differences within it count as none.
        confidence: Of intervals.
        draws: Of signs, in primary tests whose p-value is small.
        marks: Verdict → how tables show it.
        presets: Budgets that primary tests can be about, the largest first.
        since: When the rules of primary tests were last changed.
    """

    significance: float
    margin: float
    confidence: float
    draws: int
    marks: dict[str, str]
    presets: tuple[str, ...]
    since: str


@dataclass(frozen=True)
class Report:
    """Everything, by section; a template's fields are these.

    `verdicts` counts the verdicts of all primary tests on data that nobody made up.
    """

    question: Question
    rules: Rules
    conclusions: tuple[Conclusion, ...]
    verdicts: dict[str, int]
    data: tuple[Data, ...]
    protocols: tuple[Protocol, ...]
    methods: tuple[Summary, ...]
    sections: tuple[Section, ...]
    families: tuple[Family, ...]
    sweeps: tuple[Sweep, ...]
    ablations: tuple[Ablation, ...]
    claims: tuple[Claim, ...]
    threats: origin.Threats
    commands: tuple[origin.Command, ...]
    origins: tuple[origin.Origin, ...]
    environment: origin.Environment
    missing: tuple[Missing, ...]
    left_out: tuple[LeftOut, ...]


def make_report(folders: Sequence[Path], tables: Tables, margin: float) -> Report:
    """Works the report out.

    Args:
        folders: Hold records, at any depth.
        tables: What can be named; they also say which method is studied.
        margin: Differences within it count as none.

    Raises:
        UserError: No record can be read, or the tables name no studied method.
    """
    plan = plan_of(tables)
    rows, left_out = read_rows(folders)
    kinds, others = sort_rows(rows, tables)
    contests = contests_of(kinds.main, plan, tables)
    tested = [own.tested for own in contests if own.tested]
    tests = primary_tests(tested, plan, margin)
    primary = tuple(primary_table(tests, contests))
    notes = read_notes(folders)
    made_up = {name for name, own in notes.items() if own.made_up}
    real = [own for own in primary if own.dataset not in made_up]
    sections = tuple(
        replace(
            section_of(own, plan, tests, tables, margin),
            data_note=notes.get(own.record.dataset.name, DataNote()).note,
            made_up=own.record.dataset.name in made_up,
            exploratory=why,
        )
        for own, why in zip(contests, _exploratory(contests, plan), strict=True)
    )
    sweeps = sweeps_of(kinds.swept, kinds.main, plan)
    ablations, alone = ablations_of(kinds, plan, tables)
    study = read_study()
    reached = (
        conclusion_of(own, section, primary, plan)
        for own, section in zip(contests, sections, strict=True)
    )
    conclusions = tuple(own for own in reached if own is not None)
    findings = Findings(
        plan,
        real,
        [own for own in conclusions if not own.made_up],
        [own for own in sweeps if own.dataset not in made_up],
        [own for own in ablations if own.dataset not in made_up],
        margin,
        tables,
    )
    records, commands = records_of(rows), origin.commands_of(rows)
    return Report(
        question=_question(
            plan, tables, named(_behind(contests) or language_models(records)), study.source
        ),
        rules=Rules(
            SIGNIFICANCE, margin, 1 - SIGNIFICANCE, DRAWS, dict(MARKS), plan.presets, plan.since
        ),
        conclusions=conclusions,
        verdicts={
            verdict: sum(test.comparison.verdict == verdict for test in real) for verdict in MARKS
        },
        data=data_of(records, notes),
        protocols=protocols_of(records),
        methods=summaries_of((record.method.name for record in records), tables),
        sections=sections,
        families=families_of(primary),
        sweeps=sweeps,
        ablations=ablations,
        claims=hold_claims(study, findings),
        threats=origin.threats_of(records),
        commands=commands,
        origins=origin.origins_of(rows, commands),
        environment=origin.environment_of(records),
        missing=missing_of(Known(contests, sweeps, ablations), plan, study, tables),
        left_out=(
            *left_out,
            *others,
            *alone,
            *(
                LeftOut(f"tests of {own.what} ({section.title})", own.why)
                for section in sections
                for own in section.untested
            ),
            *(own for section in sections for own in section.broken),
        ),
    )


def _exploratory(contests: Sequence[Contest], plan: Plan) -> list[str]:
    """For each contest why no primary test is about it, "" where some may be."""
    tested = [own.tested for own in contests if own.tested]
    whys = iter(exploratory(tested, plan))
    return [next(whys) if own.tested else not_planned(own.record, plan) for own in contests]


def _behind(contests: Sequence[Contest]) -> tuple[LanguageModel, ...]:
    return tuple(dict.fromkeys(model for own in contests for model in own.language_models))


def _question(plan: Plan, tables: Tables, language_model: str, source: str) -> Question:
    return Question(
        studied=plan.studied,
        summary=tables.methods[plan.studied].summary,
        variants=tuple(sorted(plan.its_variants)),
        metrics=tuple(
            FirstMetric(task, tables.tasks[task].summary, metric)
            for task, metric in plan.metrics.items()
        ),
        language_model=language_model,
        source=source,
    )
