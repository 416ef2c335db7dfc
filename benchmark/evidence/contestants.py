"""Finished rows as contestants: one method with its seeds, beside others asked the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from benchmark.errors import UserError
from benchmark.records.differences import NLL
from benchmark.records.example_files import read_by_hash
from benchmark.records.results import Row, RunRecord, asked, variant, variant_label
from benchmark.records.summary import comparable_rows
from benchmark.settings import flatten

USER = "user"
_HASH = 12
"""Digits of a hash that a line shows."""


@dataclass(frozen=True)
class Contestant:
    """A method as it was set, with one finished row a seed.

    Attributes:
        label: How tables call it, different from all others of its group.
        rows: Its rows, by seed.
    """

    label: str
    rows: tuple[Row, ...]

    @property
    def records(self) -> tuple[RunRecord, ...]:
        """The rows' records."""
        return tuple(row.record for row in self.rows if row.record is not None)

    @property
    def method(self) -> str:
        """The method's name."""
        return self.rows[0].method

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that have finished."""
        return tuple(row.seed for row in self.rows)

    @property
    def imported(self) -> bool:
        """Whether some of its answers came from a model that was not run here."""
        return any(record.imported is not None for record in self.records)

    @property
    def by_hand(self) -> bool:
        """Whether somebody set something of it that no search found."""
        return any(
            "set" in record.tuned if record.tuned else bool(record.method.changes)
            for record in self.records
        )

    @property
    def made(self) -> str:
        """When the last of its records was made, in ISO 8601."""
        return max(record.created for record in self.records)

    @property
    def apart(self) -> str:
        """What its seeds were not all set to, in a phrase; "" = nothing."""
        return settings_apart(self.records)

    @cached_property
    def by_seed(self) -> dict[int, pl.DataFrame]:
        """Examples of each seed, sorted by user; users are known by their hash.

        Raises:
            UserError: The examples of a row cannot be read, or its seeds are about other users.
        """
        frames = {}
        for row in self.rows:
            assert row.path is not None
            assert row.record is not None
            frame = read_by_hash(row.path, row.record.dataset.fingerprint).sort(USER)
            if "target_logprob" in frame.columns:
                frame = frame.with_columns((-pl.col("target_logprob")).alias(NLL))
            frames[row.seed] = frame
        users = [frame[USER] for frame in frames.values()]
        if any(not own.equals(users[0]) for own in users[1:]):
            raise UserError(
                f"the seeds of {self.label.splitlines()[0]} are about different users: they cannot "
                "be averaged user by user"
            )
        return frames

    @cached_property
    def averaged(self) -> pl.DataFrame:
        """Numbers of each user, averaged over seeds: columns `user`, metrics, circumstances.

        A value is null where some seed has none.
        """
        frames = list(self.by_seed.values())
        numeric = [
            name
            for name, kind in frames[0].schema.items()
            if (kind.is_numeric() or kind == pl.Boolean)
            and all(name in other.columns for other in frames)
        ]
        means = []
        for name in numeric:
            columns = np.stack(
                [
                    frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
                    for frame in frames
                ]
            )
            means.append(pl.Series(name, columns.mean(axis=0)).fill_nan(None))
        return pl.DataFrame([frames[0][USER], *means])

    def per_user(self, metric: str) -> np.ndarray | None:
        """A metric of each user, averaged over seeds, users in order of their ids, `[n]`.

        Returns:
            None where it has no value a user, or a user lacks one.
        """
        if metric not in self.averaged.columns or self.averaged[metric].null_count():
            return None
        return self.averaged[metric].to_numpy()

    def of_seeds(self, metric: str) -> tuple[float, ...]:
        """What each seed reaches, as its record says."""
        return tuple(record.metrics[metric] for record in self.records if metric in record.metrics)


@dataclass(frozen=True)
class Group:
    """Contestants that were asked the same under the same budget.

    Attributes:
        contestants: In the order of their rows.
    """

    contestants: tuple[Contestant, ...]

    @property
    def record(self) -> RunRecord:
        """The first record, for what all share."""
        return self.contestants[0].records[0]

    def __getitem__(self, label: str) -> Contestant:
        return next(own for own in self.contestants if own.label == label)

    def metrics(self) -> list[str]:
        """What somebody measures, of all users, in the order of the records."""
        named = dict.fromkeys(
            metric
            for own in self.contestants
            for metric in own.records[0].metrics
            if "/" not in metric
        )
        return list(named)


def groups_of(rows: Sequence[Row]) -> list[Group]:
    """The contestants among rows that were asked the same; see `comparable_rows`."""
    return [Group(contestants_of(members)) for members in comparable_rows(rows)]


def contestants_of(rows: Iterable[Row]) -> tuple[Contestant, ...]:
    """Rows of one group by method and what was set of it."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        assert row.record is not None
        found.setdefault((row.method, variant(row.record)), []).append(row)
    names = [method for method, _ in found]
    contestants = []
    for (method, _), members in found.items():
        label = method
        if names.count(method) > 1 and members[0].record is not None:
            label = f"{method} ({variant_label(members[0].record)})"
        contestants.append(Contestant(label, tuple(sorted(members, key=lambda row: row.seed))))
    return tuple(contestants)


def settings_apart(records: Sequence[RunRecord]) -> str:
    """Settings of a method that seeds do not share though nobody changed them, "" = none.

    They come from a preset that was changed between two runs. Settings that some record lacks are
    those of another version, and are passed over.
    """
    settings = [flatten(record.method.settings) for record in records]
    told = []
    for name in settings[0] if settings else ():
        if not all(name in own for own in settings):
            continue
        seeds: dict[str, list[str]] = {}
        for record, own in zip(records, settings, strict=True):
            seeds.setdefault(str(own[name]), []).append(str(record.seed))
        if len(seeds) > 1:
            each = ", ".join(f"{value} (seed {', '.join(of)})" for value, of in seeds.items())
            told.append(f"{name} {each}")
    return f"its seeds had different settings: {'; '.join(told)}" if told else ""


def differing(first: RunRecord, second: RunRecord) -> list[str]:
    """What keeps two records from being compared, a phrase each; empty where nothing does."""
    facts = [
        {
            "data set": own.dataset.name,
            "data hash": own.dataset.fingerprint,
            "target hash": own.dataset.target_hash,
            "task": own.task.name,
            "task version": own.task.version,
            "task settings": str(asked(own)),
            "split": own.protocol.split,
            "split settings": str(own.protocol.split_settings),
            "part": own.protocol.part,
            "seen items": own.protocol.seen,
            "tie rule": own.protocol.tie_rule,
        }
        for own in (first, second)
    ]
    return [
        f"{name} ({_shown(name, one)} and {_shown(name, facts[1][name])})"
        for name, one in facts[0].items()
        if one != facts[1][name]
    ]


def _shown(name: str, value: str) -> str:
    return value[:_HASH] if name.endswith("hash") else value
