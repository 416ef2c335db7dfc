"""Who was asked the same, and who of them can be compared user by user. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from benchmark.evidence.contestants import USER, Contestant, Group, groups_of
from benchmark.evidence.family import Plan, leading
from benchmark.records.results import Row, RunRecord, asked
from benchmark.reporting.language_model import LanguageModel, language_models
from benchmark.reporting.usable import why_unusable

if TYPE_CHECKING:
    from benchmark.tables import Tables

_SHORT = 8
"""How much of a hash a title shows."""


@dataclass(frozen=True)
class Contest:
    """Contestants that were asked the same under the same budget.

    Attributes:
        group: All of them.
        tested: Those with examples of the same users; None where there are none.
        studied: Label of the one that the study is about, of those that can be tested if any can;
            "" = absent.
        untested: Label → why it is compared with nobody.
        apart: What tells it from others of the same title; "" = nothing has to.
    """

    group: Group
    tested: Group | None
    studied: str
    untested: dict[str, str] = field(default_factory=dict)
    apart: str = ""

    @property
    def record(self) -> RunRecord:
        """What all share."""
        return self.group.record

    @property
    def title(self) -> str:
        """What was asked of which data, in a few words."""
        record = self.record
        protocol = record.protocol
        words = [f"{record.task.name} on {record.dataset.name}", f"split {protocol.split}"]
        words += [f"{name}={value}" for name, value in asked(record).items()]
        words += [f"{name}={value}" for name, value in _beside_default(protocol.split_settings)]
        words.append(f"{protocol.part} targets")
        return f"{', '.join(words)}, preset {record.preset}{self.apart}"

    @property
    def language_models(self) -> tuple[LanguageModel, ...]:
        """Those that somebody used."""
        return language_models(one for own in self.group.contestants for one in own.records)


def contests_of(rows: Sequence[Row], plan: Plan, tables: Tables) -> list[Contest]:
    """Finished rows by what they were asked.

    Test parts come first, then the data sets of which most users were asked (they decide most),
    then tasks in the order of the tables, splits, and the largest preset.
    """
    found = _told_apart([_contest(group, plan) for group in groups_of(rows)])
    tasks, presets = list(tables.tasks), list(plan.presets)
    users: dict[str, int] = {}
    for own in found:
        name = own.record.dataset.name
        users[name] = max(users.get(name, 0), own.record.examples)

    def place(contest: Contest) -> tuple[object, ...]:
        record = contest.record
        name, preset = record.task.name, record.preset
        return (
            record.protocol.part != "test",
            -users[record.dataset.name],
            record.dataset.name,
            tasks.index(name) if name in tasks else len(tasks),
            record.protocol.split,
            presets.index(preset) if preset in presets else len(presets),
            contest.title,
        )

    return sorted(found, key=place)


def _told_apart(contests: Sequence[Contest]) -> list[Contest]:
    """Contests of equal titles with what they differ in, so that no two are taken for one."""
    by_title: dict[str, list[Contest]] = {}
    for own in contests:
        by_title.setdefault(own.title, []).append(own)
    return [replace(own, apart=_apart(own, by_title[own.title])) for own in contests]


def _apart(contest: Contest, others: Sequence[Contest]) -> str:
    """What some of the same title have otherwise, "" where nobody has anything otherwise."""
    facts = [_beyond_title(own.record) for own in others]
    own = _beyond_title(contest.record)
    return "".join(
        f", {name} {value[:_SHORT]}"
        for name, value in own.items()
        if len({other[name] for other in facts}) > 1
    )


def _beyond_title(record: RunRecord) -> dict[str, str]:
    """What tells apart what was asked and stands in no title."""
    return {
        "seen items": record.protocol.seen,
        f"{record.task.name} version": record.task.version,
        "data": record.dataset.fingerprint,
        "targets": record.dataset.target_hash,
    }


def _beside_default(settings: dict[str, object]) -> list[tuple[str, object]]:
    return [(name, value) for name, value in settings.items() if value]


def _contest(group: Group, plan: Plan) -> Contest:
    untested: dict[str, str] = {}
    by_users: dict[tuple[str, ...], list[Contestant]] = {}
    metric = plan.metrics.get(group.record.task.name, "")
    for own in group.contestants:
        why = why_unusable(own, metric)
        if why:
            untested[own.label] = why
        else:
            by_users.setdefault(tuple(own.averaged[USER]), []).append(own)
    usable = [own for party in by_users.values() for own in party]
    first = leading(usable, plan.studied) or leading(group.contestants, plan.studied)
    studied = first.label if first is not None else ""
    parties = sorted(by_users.values(), key=lambda party: _rank(party, studied))
    for party in parties[1:]:
        for own in party:
            told = len(own.averaged)
            untested[own.label] = f"its {told:,} examples are not about the users of the others"
    return Contest(group, Group(tuple(parties[0])) if parties else None, studied, untested)


def _rank(party: Sequence[Contestant], studied: str) -> tuple[bool, int]:
    """The party with the studied method comes first, then the largest."""
    return studied not in [own.label for own in party], -len(party)
