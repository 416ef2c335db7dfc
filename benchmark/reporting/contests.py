"""Who was asked the same, and who of them can be compared user by user. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from benchmark.errors import UserError
from benchmark.evidence.contestants import USER, Contestant, Group, groups_of
from benchmark.evidence.family import Plan
from benchmark.reporting.language_model import LanguageModel, language_models
from benchmark.results import EXAMPLES, Row, RunRecord, asked

if TYPE_CHECKING:
    from benchmark.tables import Tables


@dataclass(frozen=True)
class Contest:
    """Contestants that were asked the same under the same budget.

    Attributes:
        group: All of them.
        tested: Those with examples of the same users; None where there are none.
        studied: Label of the one that the study is about, as it comes where it can; "" = absent.
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

    @property
    def baseline_labels(self) -> list[str]:
        """All but the studied one."""
        return [own.label for own in self.group.contestants if own.label != self.studied]


def contests_of(rows: Sequence[Row], plan: Plan, tables: Tables) -> list[Contest]:
    """Finished rows by what they were asked, test parts first, in the order of data and tasks."""
    found = _told_apart([_contest(group, plan) for group in groups_of(rows)])
    tasks = list(tables.tasks)

    def place(contest: Contest) -> tuple[object, ...]:
        record = contest.record
        name = record.task.name
        return (
            record.protocol.part != "test",
            record.dataset.name,
            tasks.index(name) if name in tasks else len(tasks),
            record.protocol.split,
            record.preset,
            contest.title,
        )

    return sorted(found, key=place)


def _told_apart(contests: Sequence[Contest]) -> list[Contest]:
    """Contests of equal titles with what they differ in, so that no two are taken for one."""
    titles = [own.title for own in contests]
    return [own if titles.count(own.title) == 1 else _with_hashes(own) for own in contests]


def _with_hashes(contest: Contest) -> Contest:
    record = contest.record
    data, targets = record.dataset.fingerprint[:8], record.dataset.target_hash[:8]
    apart = (
        f", seen items {record.protocol.seen}, {record.task.name} version {record.task.version}, "
        f"data {data}, targets {targets}"
    )
    return replace(contest, apart=apart)


def _beside_default(settings: dict[str, object]) -> list[tuple[str, object]]:
    return [(name, value) for name, value in settings.items() if value]


def _contest(group: Group, plan: Plan) -> Contest:
    untested: dict[str, str] = {}
    by_users: dict[tuple[str, ...], list[Contestant]] = {}
    for own in group.contestants:
        why = _unusable(own)
        if why:
            untested[own.label] = why
        else:
            by_users.setdefault(tuple(own.averaged[USER]), []).append(own)
    studied = _studied(group.contestants, plan)
    parties = sorted(by_users.values(), key=lambda party: _rank(party, studied))
    for party in parties[1:]:
        for own in party:
            told = len(own.averaged)
            untested[own.label] = f"its {told:,} examples are not about the users of the others"
    return Contest(group, Group(tuple(parties[0])) if parties else None, studied, untested)


def _rank(party: Sequence[Contestant], studied: str) -> tuple[bool, int]:
    """The party with the studied method comes first, then the largest."""
    return studied not in [own.label for own in party], -len(party)


def _studied(contestants: Sequence[Contestant], plan: Plan) -> str:
    """Of the studied method's contestants the one with the fewest changes."""
    own = [one for one in contestants if one.method == plan.studied]
    first = min(own, key=lambda one: len(one.records[0].method.changes), default=None)
    return first.label if first is not None else ""


def _unusable(contestant: Contestant) -> str:
    """Why a contestant's examples are of no use, "" where they are."""
    try:
        for row in contestant.rows:
            assert row.record is not None
            assert row.path is not None
            if not (row.path.parent / EXAMPLES).exists():
                return f"no {EXAMPLES} beside its record{_of_seed(row, contestant)}"
            told, held = row.record.examples, len(contestant.by_seed[row.seed])
            if told != held:
                of_seed = _of_seed(row, contestant)
                return f"its record{of_seed} speaks of {told:,} examples, beside it are {held:,}"
        users = contestant.averaged[USER]
    except UserError as error:
        return str(error)
    except pl.exceptions.PolarsError as error:
        return f"its examples cannot be read: {' '.join(str(error).split())}"
    return "" if users.is_unique().all() else "some user stands twice in its examples"


def _of_seed(row: Row, contestant: Contestant) -> str:
    return f" of seed {row.seed}" if len(contestant.rows) > 1 else ""
