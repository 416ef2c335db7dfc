"""Comparisons with too few seeds, and the commands that would make more. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmark.evidence.contestants import Contestant
from benchmark.evidence.family import Plan
from benchmark.records.results import RunRecord, trained_on
from benchmark.reporting.contests import Contest
from benchmark.reporting.facts_data import count_of
from benchmark.reporting.missing import Missing
from benchmark.reporting.repeating import again, assignment

FEW_USERS = 2000
"""Data of fewer users are small: what chance in training does is large there."""
SEEDS_OF_SMALL_DATA, SEEDS = 5, 2
"""How many the study asks for: of small data, and of others."""


def missing_seeds(contests: Sequence[Contest], plan: Plan) -> Iterator[Missing]:
    """Rows of test targets that lack seeds, a line a command; imported ones cannot be repeated."""
    for contest in contests:
        record = contest.record
        if record.protocol.part != "test" or record.preset not in plan.presets:
            continue
        users = count_of(record.dataset.facts, "users") or record.examples
        needed = SEEDS_OF_SMALL_DATA if users < FEW_USERS else SEEDS
        few = [
            own for own in contest.group.contestants if len(own.seeds) < needed and not own.imported
        ]
        for members in _batches(few):
            labels = ", ".join(own.label for own in members)
            what = f"{needed} seeds of {labels} (there: {_seeds(members)})"
            yield Missing(what, contest.title, _command(contest, plan, members, needed))


def _seeds(members: Sequence[Contestant]) -> str:
    fewest, most = (pick(len(own.seeds) for own in members) for pick in (min, max))
    return str(fewest) if fewest == most else f"{fewest} to {most}"


def _batches(contestants: Sequence[Contestant]) -> list[list[Contestant]]:
    """Contestants that one command can run: each method once, one language model and set-up."""
    found: dict[object, list[Contestant]] = {}
    for own in contestants:
        record = own.records[0]
        llm = record.llm["name"] if record.llm else ""
        way, turn = (*_tasks(record), llm, *trained_on(record).items()), 0
        while own.method in [one.method for one in found.get((way, turn), [])]:
            turn += 1
        found.setdefault((way, turn), []).append(own)
    return list(found.values())


def _tasks(record: RunRecord) -> tuple[tuple[str, ...], bool]:
    """Which tasks the run had, as far as that told on the row, and whether one fit served all."""
    protocol = record.protocol
    serves_all = len(protocol.fitted_for) > 1
    return protocol.fitted_for if serves_all else protocol.shared_with, serves_all


def _command(contest: Contest, plan: Plan, members: Sequence[Contestant], needed: int) -> str:
    first = members[0].records[0]
    tasks, multi_task = _tasks(first)
    return again(
        contest,
        plan,
        [own.method for own in members],
        tasks=tasks,
        multi_task=multi_task,
        llm=first.llm["name"] if first.llm else "",
        seeds=",".join(map(str, range(needed))),
        devices={name: str(value) for name, value in trained_on(first).items()},
        sets=[
            assignment(_setting(own, name), value)
            for own in members
            for name, value in own.records[0].method.changes.items()
        ],
    )


def _setting(contestant: Contestant, name: str) -> str:
    """The name of a change as `--set` takes it: those of the encoder stand under its own name."""
    encoder = contestant.records[0].encoder
    if encoder is not None and name.startswith(f"{encoder.name}."):
        return name
    return f"{contestant.method}.{name}"
