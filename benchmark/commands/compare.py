"""`userllm-bench compare`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.commands.comparison_side import side_of
from benchmark.errors import UserError, unknown
from benchmark.evidence.comparisons import Comparison, check_margin, compare_on
from benchmark.evidence.contestants import Contestant, Group, contestants_of, differing
from benchmark.evidence.list_quality import ListQuality, list_quality
from benchmark.evidence.slices import Line, slice_lines
from benchmark.records.differences import NLL
from benchmark.records.provenance import differences_in_code
from benchmark.reporting.usable import why_unusable


@dataclass(frozen=True)
class Options:
    """What was asked; see the help of the command."""

    first: Path
    second: Path
    method_a: str | None
    method_b: str | None
    metrics: tuple[str, ...]
    margin: float
    slices: bool


@dataclass(frozen=True)
class Pair:
    """Two contestants that were asked the same, and what a comparison of them shows.

    Attributes:
        group: The two.
        comparisons: One a metric.
        untested: Metrics that have no value a user.
        lines: The first metric by slices of the users.
        lists: What the two rankings are like; of `next_item` alone.
        notes: What a reader must know of the two.
    """

    group: Group
    comparisons: tuple[Comparison, ...]
    untested: tuple[str, ...]
    lines: tuple[Line, ...]
    lists: tuple[ListQuality, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The pair as `--json` prints it."""
        record = self.group.record
        return {
            "dataset": record.dataset.name,
            "task": record.task.name,
            "split": record.protocol.split,
            "part": record.protocol.part,
            "seen": record.protocol.seen,
            "comparisons": [own.to_json() for own in self.comparisons],
            "untested": list(self.untested),
            "slices": [
                {
                    "slicing": line.slicing,
                    "slice": line.slice,
                    "users": line.users,
                    "label": line.label,
                    "mean": vars(line.mean),
                    "difference": None if line.difference is None else vars(line.difference),
                }
                for line in self.lines
            ],
            "rankings": [vars(own) for own in self.lists],
            "notes": list(self.notes),
        }


def compare_command(options: Options, as_json: bool) -> None:
    """Compares what two folders hold, on everything that both were asked.

    Raises:
        UserError: They were asked nothing in common, or hold several methods; a wrong margin.
    """
    check_margin(options.margin)
    groups, alone = pair_up(options)
    pairs = [_compared(group, options) for group in groups]
    if as_json:
        print(
            json.dumps({"pairs": [pair.to_json() for pair in pairs], "uncompared": alone}, indent=2)
        )
        return
    from benchmark.commands.comparison_table import print_pair

    for pair in pairs:
        print_pair(pair)
    for line in alone:
        print(f"note: {line}")


def pair_up(options: Options) -> tuple[list[Group], list[str]]:
    """One contestant of each folder for everything that both were asked.

    Returns:
        The pairs, and a line for everything that only one of the two was asked.

    Raises:
        UserError: See `compare_command`.
    """
    sides = (
        side_of(options.first, options.method_a, "--a"),
        side_of(options.second, options.method_b, "--b"),
    )
    first, second = (side.rows for side in sides)
    common = [asked for asked in first if asked in second]
    unclear = [
        why for side in sides for asked, why in side.unclear.items() if asked in (common or [asked])
    ]
    if unclear:
        raise UserError("; ".join(dict.fromkeys(unclear)))
    if not common:
        one, two = next(iter(first.values())), next(iter(second.values()))
        reasons = differing(one.records[0], two.records[0])
        raise UserError(
            f"{one.label} in {options.first} and {two.label} in {options.second} cannot be "
            f"compared: they differ in {', '.join(reasons)}"
        )
    groups = []
    for asked in common:
        one, two = first[asked], second[asked]
        if {row.path for row in one.rows} & {row.path for row in two.rows}:
            raise UserError(
                f"{one.label} stands on both sides: name two methods by --a and --b, or folders "
                "that share no record"
            )
        groups.append(Group(_told_apart(one, two)))
    return groups, [*_alone(first, second, "B"), *_alone(second, first, "A")]


def _alone(
    own: Mapping[str, Contestant], others: Mapping[str, Contestant], side: str
) -> Iterator[str]:
    """What others were not asked, and what is nearest to it among what they were."""
    for asked, contestant in own.items():
        if asked in others:
            continue
        record = contestant.records[0]
        reasons = [differing(record, other.records[0]) for other in others.values()]
        nearest = ", ".join(sorted(reasons, key=len)[0])
        yield (
            f"{record.task.name} on {record.dataset.name} is not compared: {side} has none that "
            f"was asked the same (nearest: differs in {nearest})"
        )


def _told_apart(one: Contestant, two: Contestant) -> tuple[Contestant, Contestant]:
    """The two with labels that differ: by their settings, else by what their seeds are."""
    if one.label != two.label:
        return one, two
    found = contestants_of([*one.rows, *two.rows])
    if len(found) == 2:
        return found[0], found[1]
    first, second = (
        Contestant(f"{own.label} ({side}, preset {own.rows[0].preset})", own.rows)
        for side, own in (("A", one), ("B", two))
    )
    return first, second


def _compared(group: Group, options: Options) -> Pair:
    first, second = group.contestants
    for own in group.contestants:
        if why := why_unusable(own, ""):
            raise UserError(f"{own.label}: {why}; 'userllm-bench verify' checks all its numbers")
    metrics = group.metrics()
    for name in options.metrics:
        if name not in (*metrics, NLL):
            raise unknown("metric", name, [*metrics, NLL])
    chosen = list(options.metrics) or [*metrics, NLL]
    found = {name: compare_on(name, first, second, margin=options.margin) for name in chosen}
    comparisons = tuple(own for own in found.values() if own is not None)
    untested = tuple(name for name, own in found.items() if own is None and name != NLL)
    primary = next((own.metric for own in comparisons), None)
    lines = slice_lines(group, primary, second) if options.slices and primary else []
    items = int(group.record.dataset.facts.get("items", 0))
    ranks = "target_rank" in first.averaged.columns
    lists = [list_quality(own, items) for own in group.contestants] if ranks else []
    return Pair(group, comparisons, untested, tuple(lines), tuple(lists), _notes(first, second))


def _notes(first: Contestant, second: Contestant) -> tuple[str, ...]:
    """What a reader must know before believing a difference."""
    notes: list[str] = []
    records = [*first.records, *second.records]
    presets = list(dict.fromkeys(record.preset for record in records))
    if len(presets) > 1:
        notes.append(f"budgets differ: presets {', '.join(presets)}")
    for own in (first, second):
        if own.apart:
            notes.append(f"{own.label}: {own.apart}")
        if len(own.seeds) == 1:
            notes.append(
                f"{own.label}: one seed; intervals are over users, how much seeds differ is unknown"
            )
    if first.seeds != second.seeds and min(len(first.seeds), len(second.seeds)) > 1:
        notes.append(f"seeds differ: {_listed(first.seeds)} and {_listed(second.seeds)}")
    leak = records[0].protocol.leak
    if leak:
        notes.append(f"the split leaks: {leak}")
    code = differences_in_code(records)
    return (*notes, *([code] if code else []))


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
