"""Looks whether what a method learns from gives away what it is asked."""

from __future__ import annotations

import numpy as np

from benchmark.data.dataset import Dataset
from benchmark.data.splits import Split
from benchmark.events import EventLog
from benchmark.schema import ITEM


def find_leaks(dataset: Dataset, split: Split) -> list[str]:
    """What is wrong with a split, one sentence a finding; empty where nothing is.

    It is written without the split's own arithmetic: for each user it compares the sequences.
    """
    found: list[str] = []
    whole, train = dataset.events, split.train.events
    known = {name: column[1:] for name, column in split.train.catalog.columns.items()}
    if any(
        not np.array_equal(column, dataset.catalog.columns[n][1:]) for n, column in known.items()
    ):
        found.append("the catalogue of training differs from the data set's")
    if _share_memory(train, whole):
        found.append("the training events are a view of all events, so later ones can be reached")
    if train.num_users != whole.num_users:
        return [*found, "training has other users than the data set"]

    parts = {"validation": split.validation, "test": split.test}
    targets: dict[int, dict[str, int]] = {}
    for name, examples in parts.items():
        for n, user in enumerate(examples.users):
            begin, stop = int(examples.starts[n]), int(examples.stops[n])
            history = examples.log.items[begin:stop]
            sequence = whole.items[whole.indptr[user - 1] : whole.indptr[user]]
            if not np.array_equal(history, sequence[: len(history)]):
                found.append(f"{name}: the history of user {user} is not how their events begin")
            elif sequence[len(history)] != examples.targets[n]:
                found.append(f"{name}: the target of user {user} does not follow their history")
            targets.setdefault(int(user), {})[name] = len(history)

    for row in range(whole.num_users):
        learnt = slice(train.indptr[row], train.indptr[row + 1])
        begin = int(whole.indptr[row])
        count = int(train.lengths[row])
        same = all(
            np.array_equal(column[learnt], whole.columns[name][begin : begin + count])
            for name, column in train.columns.items()
        ) and np.array_equal(train.timestamps[learnt], whole.timestamps[begin : begin + count])
        if train.texts is not None and whole.texts is not None:
            same = same and train.texts[learnt] == whole.texts[begin : begin + count]
        if not same:
            found.append(f"training: the events of user {row + 1} are not how their events begin")
        positions = targets.get(row + 1)
        if positions is None:
            continue
        if positions["validation"] != positions["test"] - 1:
            found.append(f"user {row + 1}: validation is not the event before test")
        if count > positions["validation"]:
            found.append(f"training: user {row + 1} learns the validation target or later events")
    return found


def _share_memory(left: EventLog, right: EventLog) -> bool:
    """True where an array of one log is a view into the other's."""
    pairs = [(left.timestamps, right.timestamps)]
    pairs += [(column, right.columns[name]) for name, column in left.columns.items()]
    pairs += [(left.columns[ITEM], right.columns[ITEM])]
    return any(np.shares_memory(a, b) for a, b in pairs)
