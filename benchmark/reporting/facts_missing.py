"""What the plan asks for and no record answers, with the command that would. Free of torch."""

from __future__ import annotations

import fnmatch
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.evidence.family import Plan
from benchmark.reporting.claims_config import Study
from benchmark.reporting.contests import Contest
from benchmark.reporting.facts_ablation import Ablation
from benchmark.reporting.facts_sweeps import LENGTH, Sweep
from benchmark.results import asked

if TYPE_CHECKING:
    from benchmark.tables import Tables


@dataclass(frozen=True)
class Missing:
    """Something without a record.

    Attributes:
        what: A task under a split, a data set, a method, an axis.
        where: On which data, or in which comparison.
        command: What would make it.
    """

    what: str
    where: str
    command: str


@dataclass(frozen=True)
class Known:
    """What there is."""

    contests: Sequence[Contest]
    sweeps: Sequence[Sweep]
    ablations: Sequence[Ablation]


def missing_of(known: Known, plan: Plan, study: Study, tables: Tables) -> tuple[Missing, ...]:
    """All that is missing: data, tasks and splits, methods, sweeps, axes, further seeds."""
    return (
        *_datasets(known, study),
        *_tasks(known, plan, tables),
        *_methods(known, plan, tables),
        *_sweeps(known),
        *_ablations(known, tables),
        *_seeds(known),
    )


def _run(*parts: str) -> str:
    return shlex.join(["userllm-bench", *parts])


def _datasets(known: Known, study: Study) -> Iterator[Missing]:
    there = {own.record.dataset.name for own in known.contests}
    for told, names in study.datasets.items():
        if not any(fnmatch.fnmatchcase(name, own) for own in names for name in there):
            what = f"a data set of the study: {told} ({' or '.join(names)})"
            yield Missing(what, "", f"userllm-bench run --task next_item --dataset {names[0]}")


def _tasks(known: Known, plan: Plan, tables: Tables) -> Iterator[Missing]:
    """Tasks under splits that a data set has no test records of."""
    tested = [own.record for own in known.contests if own.record.protocol.part == "test"]
    there = {(own.dataset.name, own.task.name, own.protocol.split) for own in tested}
    names = sorted({own.record.dataset.name for own in known.contests})
    for task in plan.metrics:
        for split in tables.splits:
            lacking = [name for name in names if (name, task, split) not in there]
            if lacking:
                options = ["--task", task, "--dataset", lacking[0], "--split", split]
                what = f"{task} under split {split} (not run, or not to be asked of these data)"
                yield Missing(what, ", ".join(lacking), _run("run", *options))


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
            yield Missing(", ".join(lacking), contest.title, _again(contest, lacking))


def _again(contest: Contest, methods: Sequence[str]) -> str:
    """The command that asks other methods what a contest asks."""
    record = contest.record
    options = {
        "task": record.task.name,
        "dataset": record.dataset.name,
        "split": record.protocol.split,
        "preset": record.preset,
        "methods": ",".join(methods),
    }
    given = [part for name, value in options.items() for part in (f"--{name}", value)]
    for name, value in asked(record).items():
        given += ["--set", f"{record.task.name}.{name}={value}"]
    return _run("run", *given)


def _sweeps(known: Known) -> Iterator[Missing]:
    if not any(own.axes[0] == LENGTH for own in known.sweeps):
        command = _run("sweep", "--axis", LENGTH, "--values", "10,50,200")
        yield Missing("the length of histories varied", "", command)


def _ablations(known: Known, tables: Tables) -> Iterator[Missing]:
    from benchmark.ablation import axis_names

    there = {axis for own in known.ablations for axis in own.axes}
    for axis in axis_names(tables):
        if axis not in there:
            yield Missing(f"the ablation {axis}", "", _run("ablate", "--axis", axis))


def _seeds(known: Known) -> Iterator[Missing]:
    """Contests where everybody has one seed: what chance in training does is not known there."""
    single = [
        own
        for own in known.contests
        if own.record.protocol.part == "test"
        and all(len(one.seeds) == 1 for one in own.group.contestants)
    ]
    if single:
        first = single[0].record
        options = ["--task", first.task.name, "--dataset", first.dataset.name, "--seeds", "0,1,2"]
        where = "; ".join(own.title for own in single)
        yield Missing("a second seed", where, _run("run", *options))
