"""What the plan asks for and no record answers, with the command that would. Free of torch."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.evidence.family import Plan
from benchmark.reporting.claims_config import Study
from benchmark.reporting.contests import Contest
from benchmark.reporting.facts_ablation import Ablation
from benchmark.reporting.facts_seeds import missing_seeds
from benchmark.reporting.facts_sweeps import LENGTH, Sweep
from benchmark.reporting.missing import Missing
from benchmark.reporting.repeating import again, language_model_option, run

if TYPE_CHECKING:
    from benchmark.tables import Tables


@dataclass(frozen=True)
class Known:
    """What there is."""

    contests: Sequence[Contest]
    sweeps: Sequence[Sweep]
    ablations: Sequence[Ablation]


def missing_of(known: Known, plan: Plan, study: Study, tables: Tables) -> tuple[Missing, ...]:
    """All that is missing: data, tasks and splits, methods, sweeps, axes, further seeds."""
    return (
        *_datasets(known, study, tables),
        *_tasks(known, plan, tables),
        *_methods(known, plan, tables),
        *_sweeps(known),
        *_ablations(known, tables),
        *missing_seeds(known.contests, plan),
    )


def _datasets(known: Known, study: Study, tables: Tables) -> Iterator[Missing]:
    there = {own.record.dataset.name for own in known.contests}
    for told, names in study.datasets.items():
        if not any(fnmatch.fnmatchcase(name, own) for own in names for name in there):
            what = f"a data set of the study: {told} ({' or '.join(names)})"
            yield Missing(what, "", f"{_downloading(names[0], tables)}{run(dataset=names[0])}")


def _downloading(name: str, tables: Tables) -> str:
    """The command that a run of a data set needs before it, "" where none is known."""
    family = f"{name.partition('/')[0]}/*"
    found = next((own for own in (name, family) if own in tables.datasets), None)
    entry = tables.datasets[found] if found else None
    if entry is None or entry.embedded or not entry.urls:
        return ""
    return f"userllm-bench data download {name} && "


def _tasks(known: Known, plan: Plan, tables: Tables) -> Iterator[Missing]:
    """Tasks under splits that a data set has no test records of."""
    tested = [own for own in known.contests if own.record.protocol.part == "test"]
    records = [own.record for own in tested]
    there = {(own.dataset.name, own.task.name, own.protocol.split) for own in records}
    asked = {(own.dataset.name, own.task.name) for own in records}
    names = sorted({own.record.dataset.name for own in known.contests})
    for task in plan.metrics:
        for split in tables.splits:
            lacking = [name for name in names if (name, task, split) not in there]
            # Data that answered under another split come first: these can be asked.
            lacking.sort(key=lambda name: (name, task) not in asked)
            if lacking:
                what = f"{task} under split {split} (not run, or not to be asked of these data)"
                of_data = [own for own in known.contests if own.record.dataset.name == lacking[0]]
                like = min(of_data, key=lambda own: _place(own.record.preset, plan))
                command = run(
                    task=task,
                    dataset=lacking[0],
                    split=split,
                    preset=like.record.preset,
                    llm=language_model_option(like.group.contestants),
                )
                yield Missing(what, ", ".join(lacking), command)


def _place(preset: str, plan: Plan) -> int:
    """Of a preset among those of primary tests, the largest first, others behind them."""
    return plan.presets.index(preset) if preset in plan.presets else len(plan.presets)


def _methods(known: Known, plan: Plan, tables: Tables) -> Iterator[Missing]:
    """Methods of a run that names none, where a contest of test targets lacks them."""
    for contest in known.contests:
        record = contest.record
        if record.protocol.part != "test" or record.task.name not in tables.tasks:
            continue
        need = tables.tasks[record.task.name].needs
        there = {own.method for own in contest.group.contestants}
        lacking = [
            name
            for name, entry in tables.methods.items()
            if (entry.in_default or need in entry.baseline_for or name == plan.studied)
            and need in entry.capabilities
            and name not in there
        ]
        if lacking:
            entries = [tables.methods[name] for name in lacking]
            reading = any(entry.uses_llm or entry.llm_setting for entry in entries)
            llm = language_model_option(contest.group.contestants) if reading else ""
            yield Missing(", ".join(lacking), contest.title, again(contest, plan, lacking, llm=llm))


def _sweeps(known: Known) -> Iterator[Missing]:
    if not any(own.axes[0] == LENGTH for own in known.sweeps):
        command = f"userllm-bench sweep --axis {LENGTH} --values 10,50,200"
        yield Missing("the length of histories varied", "", command)


def _ablations(known: Known, tables: Tables) -> Iterator[Missing]:
    from benchmark.axes.ablation import axis_names

    there = {axis for own in known.ablations for axis in own.axes}
    for axis in axis_names(tables):
        if axis not in there:
            yield Missing(f"the ablation {axis}", "", f"userllm-bench ablate --axis {axis}")
