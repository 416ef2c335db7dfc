"""Which data and by which protocol, a line each. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.records.results import RunRecord
from benchmark.reporting.data_notes import DataNote

_COUNTS = {
    "users": "users",
    "items": "items",
    "events": "events",
    "train_events": "training events",
    "events_a_user_median": "events a user, median",
    "density": "density",
    "users_evaluated": "users asked",
    "test_targets_tied": "test targets tied in time with the event before",
    "test_targets_cold": "test targets that no training event has",
}
"""Facts of a data set in the order of a table, and what it calls them."""


@dataclass(frozen=True)
class Count:
    """A count of a data set."""

    name: str
    value: float


@dataclass(frozen=True)
class Targets:
    """What a split took away from a data set, and what that left.

    Attributes:
        split: Its name.
        tasks: That were asked so.
        target_hash: SHA-256 of the test targets.
        counts: What is in it.
    """

    split: str
    tasks: tuple[str, ...]
    target_hash: str
    counts: tuple[Count, ...]


@dataclass(frozen=True)
class Data:
    """A data set.

    Attributes:
        dataset: Its name.
        source: The publisher's files.
        licence: Under which it may be used.
        citation: Whom to cite.
        fingerprint: SHA-256 of ids, events and texts.
        item_texts: What a language model says for an item.
        targets: By split and task.
        note: What a reader must know of it; "" = nothing.
        made_up: Whether somebody made it up.
    """

    dataset: str
    source: str
    licence: str
    citation: str
    fingerprint: str
    item_texts: tuple[str, ...]
    targets: tuple[Targets, ...]
    note: str = ""
    made_up: bool = False


@dataclass(frozen=True)
class Protocol:
    """How tasks were asked, one entry for all that were asked alike.

    Attributes:
        task: Its name.
        version: Its version.
        split: Its name.
        description: What the split does.
        leak: What of the future training knew, as far as the split says.
        seen: Whether items that a user has met are left in.
        tie_rule: How equal scores are settled.
        datasets: Where it was asked so.
    """

    task: str
    version: str
    split: str
    description: str
    leak: str
    seen: str
    tie_rule: str
    datasets: tuple[str, ...]


def data_of(records: Sequence[RunRecord], notes: Mapping[str, DataNote]) -> tuple[Data, ...]:
    """Every data set, in order of names.

    Args:
        records: Of any data sets.
        notes: Data set → what a reader must know of it.
    """
    found: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        found.setdefault((record.dataset.name, record.dataset.fingerprint), []).append(record)
    return tuple(
        _data(members, notes.get(name, DataNote())) for (name, _), members in sorted(found.items())
    )


def _data(records: Sequence[RunRecord], note: DataNote) -> Data:
    by_targets: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        key = (record.protocol.split, record.dataset.target_hash)
        by_targets.setdefault(key, []).append(record)
    own = records[0].dataset
    return Data(
        dataset=own.name,
        source=own.source,
        licence=own.licence,
        citation=own.citation,
        fingerprint=own.fingerprint,
        item_texts=tuple(sorted({record.dataset.item_text for record in records})),
        targets=tuple(_targets(members) for _, members in sorted(by_targets.items())),
        note=note.note,
        made_up=note.made_up,
    )


def _targets(records: Sequence[RunRecord]) -> Targets:
    facts = records[0].dataset.facts
    return Targets(
        split=records[0].protocol.split,
        tasks=tuple(sorted({record.task.name for record in records})),
        target_hash=records[0].dataset.target_hash,
        counts=tuple(
            Count(said, number)
            for name, said in _COUNTS.items()
            if (number := count_of(facts, name)) is not None
        ),
    )


def count_of(facts: dict[str, Any], name: str) -> float | None:
    """A number among the facts of a data set; None where it is not there."""
    value = facts.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def protocols_of(records: Sequence[RunRecord]) -> tuple[Protocol, ...]:
    """Every way of asking, in order of tasks and splits."""
    found: dict[tuple[str, ...], list[RunRecord]] = {}
    for record in records:
        protocol = record.protocol
        key = (
            record.task.name, record.task.version, protocol.split, protocol.split_description,
            _seen(record), protocol.tie_rule,
        )  # fmt: skip
        found.setdefault(key, []).append(record)
    return tuple(_protocol(members) for _, members in sorted(found.items()))


def _seen(record: RunRecord) -> str:
    """What becomes of items that a user has met, which only ranking items asks."""
    return record.protocol.seen if record.task.name == "next_item" else ""


def _protocol(records: Sequence[RunRecord]) -> Protocol:
    first = records[0]
    return Protocol(
        task=first.task.name,
        version=first.task.version,
        split=first.protocol.split,
        description=first.protocol.split_description,
        leak=next((own.protocol.leak for own in records if own.protocol.leak), ""),
        seen=_seen(first),
        tie_rule=first.protocol.tie_rule,
        datasets=tuple(sorted({record.dataset.name for record in records})),
    )
