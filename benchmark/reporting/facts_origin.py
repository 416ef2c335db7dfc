"""Where numbers come from: commands, commits, machines, and what is left open. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmark.records.provenance import PACKAGE, differences_in_code, version_of
from benchmark.records.results import Row, RunRecord
from benchmark.reporting.facts_data import count_of
from benchmark.reporting.language_model import language_models
from benchmark.reporting.reading import records_of

_SHOWN = 12
"""Characters of a hash in a table; the record has them all."""


@dataclass(frozen=True)
class Command:
    """A command that made records, and the name it has in the table of records."""

    name: str
    text: str


@dataclass(frozen=True)
class Origin:
    """Where one record comes from.

    Attributes:
        path: Of the record.
        dataset: Its data set.
        task: Its task.
        method: Its method.
        seed: Its seed.
        axes: What was varied, in a phrase.
        command: Name of the command.
        commit: Of the source tree; "" = unknown.
        changed: Whether the tree had changes that no commit has.
        config_hash: Of everything that makes the cell.
        created: When.
        schema: Version of the record.
        version: Of the package.
    """

    path: str
    dataset: str
    task: str
    method: str
    seed: int
    axes: str
    command: str
    commit: str
    changed: bool
    config_hash: str
    created: str
    schema: int
    version: str


@dataclass(frozen=True)
class Environment:
    """What made the records.

    Attributes:
        hosts: Machines, in a phrase each.
        pythons: Interpreters.
        versions: Of the package.
        schemas: Of the records.
        commits: Of the source tree.
        packages: Package → versions.
        code: How the code that made rows differs, "" where it does not.
        changed: Records of a tree with changes that no commit has.
        records: How many in all.
    """

    hosts: tuple[str, ...]
    pythons: tuple[str, ...]
    versions: tuple[str, ...]
    schemas: tuple[int, ...]
    commits: tuple[str, ...]
    packages: dict[str, str]
    code: str
    changed: int
    records: int


@dataclass(frozen=True)
class Tied:
    """How many targets of a task have the time of the event before them."""

    dataset: str
    task: str
    split: str
    tied: float
    of: float

    @property
    def share(self) -> float:
        """Of the users asked."""
        return self.tied / self.of


@dataclass(frozen=True)
class Threats:
    """What could make the numbers mislead, as far as records know.

    Attributes:
        leaks: What of the future training knew, by split.
        tied: Targets whose order in time is a matter of the file.
        unfinished: Contestants whose validation was best at the last look: more budget may help.
        hub_models: Language models that may have met the data before.
        validation: How many records are scored on validation targets, which also chose weights.
        changed: Records of source trees with uncommitted changes.
        learning: Records of methods that train something.
        tuned: How many of these have settings that a search found.
        by_hand: Contestants of test targets with settings beside those of their preset.
    """

    leaks: tuple[str, ...]
    tied: tuple[Tied, ...]
    unfinished: tuple[str, ...]
    hub_models: tuple[str, ...]
    validation: int
    changed: int
    learning: int
    tuned: int
    by_hand: tuple[str, ...]


def commands_of(rows: Iterable[Row]) -> tuple[Command, ...]:
    """Every command once, by the order of records."""
    texts = dict.fromkeys(record.command for record in records_of(rows) if record.command)
    return tuple(Command(f"C{number + 1}", text) for number, text in enumerate(texts))


def origins_of(rows: Sequence[Row], commands: Sequence[Command]) -> tuple[Origin, ...]:
    """A line a record."""
    names = {own.text: own.name for own in commands}
    found = []
    for row in rows:
        record = row.record
        if record is not None:
            found.append(
                Origin(
                    path=str(row.path),
                    dataset=record.dataset.name,
                    task=record.task.name,
                    method=record.method.name,
                    seed=record.seed,
                    axes=", ".join(f"{name}={value}" for name, value in record.axes.items()),
                    command=names.get(record.command, ""),
                    commit=_commit(record),
                    changed=_changed(record),
                    config_hash=record.config_hash[:_SHOWN],
                    created=record.created,
                    schema=record.schema_version,
                    version=version_of(record),
                )
            )
    return tuple(found)


def environment_of(records: Sequence[RunRecord]) -> Environment:
    """What made some records."""
    packages: dict[str, dict[str, None]] = {}
    for record in records:
        for name, version in sorted(record.versions.items()):
            packages.setdefault(name, {})[version] = None
    return Environment(
        hosts=_each(_host(record) for record in records),
        pythons=_each(record.python for record in records),
        versions=_each(version_of(record) for record in records),
        schemas=tuple(sorted({record.schema_version for record in records})),
        commits=_each(_commit(record) for record in records),
        packages={name: ", ".join(own) for name, own in packages.items() if name != PACKAGE},
        code=differences_in_code(records),
        changed=sum(map(_changed, records)),
        records=len(records),
    )


def threats_of(records: Sequence[RunRecord]) -> Threats:
    """What could make the numbers of some records mislead."""
    leaks = (
        f"{record.protocol.split}: {record.protocol.leak}"
        for record in records
        if record.protocol.leak
    )
    tied = {}
    for record in records:
        facts, name = record.dataset.facts, record.dataset.name
        number, of = count_of(facts, "test_targets_tied"), count_of(facts, "users_evaluated")
        if number is not None and of:
            own = Tied(name, record.task.name, record.protocol.split, number, of)
            tied[own.dataset, own.task, own.split, own.tied, own.of] = own
    hub = (own.name for own in language_models(records) if not own.embedded)
    learning = [record for record in records if record.fit.trained_parameters]
    return Threats(
        leaks=_each(leaks),
        tied=tuple(own for _, own in sorted(tied.items())),
        unfinished=_each(_named(record) for record in records if _still_learning(record)),
        hub_models=_each(hub),
        validation=sum(record.protocol.part != "test" for record in records),
        changed=sum(map(_changed, records)),
        learning=len(learning),
        tuned=sum(record.tuned is not None for record in learning),
        by_hand=_each(_named(record) for record in records if _set_by_hand(record)),
    )


def _named(record: RunRecord) -> str:
    where = f"{record.task.name} on {record.dataset.name}"
    part = "" if record.protocol.part == "test" else f", {record.protocol.part} targets"
    return f"{record.method.name} ({where}{part}, preset {record.preset})"


def _set_by_hand(record: RunRecord) -> bool:
    asked_as_planned = record.protocol.part == "test" and not record.axes
    return asked_as_planned and bool(record.method.changes) and record.tuned is None


def _still_learning(record: RunRecord) -> bool:
    """Whether the last stage was best at its last look, which the budget ended."""
    if not record.fit.stages or record.axes:
        return False
    last = record.fit.stages[-1]
    values = [value for _, _, value in last.curve]
    return last.stopped == "budget" and len(values) > 1 and values[-1] > max(values[:-1])


def _commit(record: RunRecord) -> str:
    return str((record.git or {}).get("commit", ""))[:_SHOWN]


def _changed(record: RunRecord) -> bool:
    return bool((record.git or {}).get("dirty"))


def _host(record: RunRecord) -> str:
    host = record.host
    if not host:
        return ""
    threads = host.get("threads", "?")
    return (
        f"{host.get('cpu', 'unknown processor')}, {host.get('physical_cores', '?')} cores, "
        f"{threads} thread{'' if threads == 1 else 's'}, "
        f"{_gib(host.get('memory_bytes'))}{host.get('os', 'unknown system')}, "
        f"{host.get('accelerator', 'cpu')}"
    )


def _gib(size: object) -> str:
    return f"{size / 2**30:.0f} GiB, " if isinstance(size, int | float) else ""


def _each(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))
