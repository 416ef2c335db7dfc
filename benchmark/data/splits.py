"""The one place that decides what is training, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmark.data.dataset import Dataset, fingerprint
from benchmark.data.histories import Examples, latest_events
from benchmark.errors import UserError
from benchmark.protocols import TrainingData

__all__ = ["Examples", "Split", "split_last"]


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
    """

    name: str
    train: TrainingData
    validation: Examples
    test: Examples
    target_hash: str
    description: str
    facts: Mapping[str, object]


LAST = (
    "last event of a user = test target, the one before = validation target, all others training;"
    " stable sort by time within a user, equal timestamps in file order;"
    " users with fewer than 3 events only train;"
    " known leak: training events of some users are later than test targets of others"
)


def split_last(dataset: Dataset) -> Split:
    """Leave-one-out by time.

    Validation examples have the training events as history, test examples those and the
    validation event. The logs behind training and validation are copies that hold no later event.
    """
    log = dataset.events
    evaluated = np.flatnonzero(log.lengths >= 3)
    if not len(evaluated):
        raise UserError(f"data set {dataset.name!r}: no user has the 3 events that a split needs")
    one = np.zeros(log.num_users, dtype=np.int64)
    one[evaluated] = 1
    events = log.truncated(log.indptr[1:] - 2 * one)
    validation = latest_events(log.truncated(log.indptr[1:] - one), evaluated)
    test = latest_events(log, evaluated)
    train = TrainingData(
        name=dataset.name,
        fingerprint=fingerprint(dataset.catalog, events),
        catalog=dataset.catalog,
        events=events,
    )
    facts = {
        "train_events": events.num_events,
        "train_users": int((events.lengths > 0).sum()),
        "users_evaluated": len(evaluated),
        "users_only_trained": log.num_users - len(evaluated),
        "test_targets_tied": int(test.tied.sum()),
        "validation_targets_tied": int(validation.tied.sum()),
    }
    return Split(
        name="last",
        train=train,
        validation=validation,
        test=test,
        target_hash=hash_targets(dataset, {"validation": validation, "test": test}),
        description=LAST,
        facts=facts,
    )


def hash_targets(dataset: Dataset, parts: Mapping[str, Examples]) -> str:
    """SHA-256 of the sorted lines `part <tab> user <tab> item`, each ended by a newline.

    It is made of external ids, so that anybody who reads the same files can compare it.
    """
    users, items = dataset.users.external_ids, dataset.catalog.items.external_ids
    lines = [
        f"{part}\t{users[user - 1]}\t{items[item - 1]}\n"
        for part, examples in parts.items()
        for user, item in zip(examples.users, examples.targets, strict=True)
    ]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
