"""What a split is made of: training data, and parts with one target a user."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from benchmark.data.cuts import cut
from benchmark.data.dataset import Dataset, fingerprint
from benchmark.data.encoding import count
from benchmark.data.histories import Examples, cut_examples
from benchmark.data.item_texts import with_summaries
from benchmark.data.store.parquet import text_column
from benchmark.events import within
from benchmark.protocols import TrainingData

COLD, WARM = "cold", "warm"
"""Groups of examples: targets that no training event has, and the others."""


@dataclass(frozen=True)
class Need:
    """What a task asks of a target.

    Attributes:
        block: How many events it is made of.
        field: It must be an event where the user wrote something in this field; "" = any event.
    """

    block: int = 1
    field: str = ""


@dataclass(frozen=True)
class Split:
    """A data set, divided.

    Attributes:
        name: As `--split` calls it.
        train: What methods learn from; a copy that ends before the first validation target.
        validation: What training may stop on.
        test: What is reported.
        target_hash: SHA-256 of users and targets of validation and test, in external ids.
        description: One line for people: sort, tie-break, what is test, known leak.
        facts: Counts: users evaluated, users only trained on, targets with a tied timestamp.
        kept: `BoolArray[events]` of the data set, True = in `train`.
        begins: `[U]` position in the data set's events of each user's validation target, -1 = none.
        leak: What of the future training knows all the same; "" = nothing.
    """

    name: str
    train: TrainingData
    validation: Examples
    test: Examples
    target_hash: str
    description: str
    facts: Mapping[str, object]
    kept: np.ndarray
    begins: np.ndarray
    leak: str = ""


@dataclass(frozen=True)
class Part:
    """Targets of one part of a split, as positions in the data set's events, one a user.

    Attributes:
        rows: `[n]` users, ascending.
        begins: `[n]` first event of each target.
        ends: `[n]` one past its last.
        known: `BoolArray[events]`, what may stand in a history; events of or after a user's own
            target never do.
    """

    rows: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    known: np.ndarray

    def examples(self, dataset: Dataset) -> Examples:
        """Histories and targets over a log that holds nothing later."""
        log = dataset.events
        before, until = log.indptr[1:].copy(), log.indptr[1:].copy()
        before[self.rows], until[self.rows] = self.begins, self.ends
        keep = within(log.indptr[:-1], before, log.num_events)
        keep &= self.known
        keep |= within(before, until, log.num_events)
        own = log if keep.all() else cut(dataset, keep)
        return cut_examples(own, keep, self.rows, self.begins, self.ends)


def divided(
    dataset: Dataset,
    name: str,
    kept: np.ndarray,
    validation_part: Part,
    test_part: Part,
    description: str,
    leak: str,
    facts: Mapping[str, object] | None = None,
) -> Split:
    """A split from what is kept for training and the targets of its parts.

    Args:
        dataset: What is divided.
        name: Of the split.
        kept: `BoolArray[events]`, what methods learn from.
        validation_part: Targets of validation.
        test_part: Targets of test.
        description: See `Split`.
        leak: See `Split`.
        facts: Counts beside those of every split.
    """
    log = dataset.events
    train = training_data(dataset, kept)
    validation, test = (
        grouped(part.examples(dataset), train) for part in (validation_part, test_part)
    )
    cold = int(test.groups[COLD].sum())
    if name == "last":  # a few are cold by chance there; other splits are about them
        validation, test = replace(validation, groups={}), replace(test, groups={})
    begins = np.full(log.num_users, -1, dtype=np.int64)
    begins[validation_part.rows] = validation_part.begins
    asked = np.unique(test.users)
    counts: dict[str, object] = {
        "train_events": train.events.num_events,
        "train_users": int((train.events.lengths > 0).sum()),
        "users_evaluated": len(asked),
        "users_only_trained": log.num_users - len(asked),
        "test_targets_tied": int(test.tied.sum()),
        "validation_targets_tied": int(validation.tied.sum()),
        "test_targets_cold": cold,
        **(facts or {}),
    }
    return Split(
        name=name,
        train=train,
        validation=validation,
        test=test,
        target_hash=hash_targets(dataset, {"validation": validation, "test": test}),
        description=description,
        facts=counts,
        kept=kept,
        begins=begins,
        leak=leak,
    )


def shared_split(dataset: Dataset, splits: Mapping[str, Split]) -> Split:
    """What several tasks may learn from together: the earliest of their cuts.

    Its validation asks for the event that follows, which is part of some task's validation target
    and of no task's test target. It has no test.

    Args:
        dataset: What is divided.
        splits: How each task divides it.
    """
    log = dataset.events
    kept = np.logical_and.reduce([split.kept for split in splits.values()])
    begins = np.stack([split.begins for split in splits.values()])
    earliest = np.where(begins < 0, log.num_events, begins).min(axis=0)
    rows = np.flatnonzero(earliest < log.num_events)
    targets = earliest[rows]
    train = training_data(dataset, kept)
    validation = grouped(Part(rows, targets, targets + 1, kept).examples(dataset), train)
    names = ", ".join(splits)
    return Split(
        name="shared",
        train=train,
        validation=validation,
        test=validation.only(np.zeros(0, dtype=np.int64)),
        target_hash=hash_targets(dataset, {"validation": validation}),
        description=f"the earliest of the cuts of {names}; validation = the event that follows",
        facts={},
        kept=kept,
        begins=np.where(earliest < log.num_events, earliest, -1),
    )


def training_data(dataset: Dataset, kept: np.ndarray) -> TrainingData:
    """What methods learn from, if they may learn from some events."""
    events = cut(dataset, kept)
    catalog = with_summaries(dataset.catalog, events)
    return TrainingData(
        name=dataset.name,
        fingerprint=fingerprint(catalog, events),
        catalog=catalog,
        events=events,
        label_feature=dataset.label_feature,
    )


def grouped(examples: Examples, train: TrainingData) -> Examples:
    """The examples with the groups `cold` and `warm`, by whether training has met the target."""
    met = count(train.events.items, train.schema.num_items) > 0
    warm = met[examples.targets]
    return Examples(
        examples.log,
        examples.users,
        examples.starts,
        examples.stops,
        examples.ends,
        {COLD: ~warm, WARM: warm},
    )


def hash_targets(dataset: Dataset, parts: Mapping[str, Examples]) -> str:
    """SHA-256 of the sorted lines `part <tab> user <tab> item`, each ended by a newline.

    It is made of external ids, so that anybody who reads the same files can compare it. Where a
    target is several events their items stand one behind the other, a comma between them.
    """
    users, items = (
        text_column(ids) for ids in (dataset.users.external_ids, dataset.catalog.items.external_ids)
    )
    lines = []
    for part, examples in parts.items():
        counts = examples.ends - examples.stops
        row = np.repeat(np.arange(len(counts)), counts)
        place = np.repeat(examples.stops - np.cumsum(counts) + counts, counts) + np.arange(len(row))
        names = items.gather(examples.log.items[place].astype(np.uint32) - 1)
        named = pl.DataFrame({"row": row, "names": names}).group_by("row", maintain_order=True)
        targets = named.agg(pl.col("names").str.join(","))["names"]
        asked = users.gather(examples.users.astype(np.uint32) - 1)
        lines.append(pl.select(pl.format(f"{part}\t{{}}\t{{}}\n", asked, targets)).to_series())
    # In UTF-8, bytes are in the order of what they stand for.
    return hashlib.sha256("".join(pl.concat(lines).sort()).encode()).hexdigest()
