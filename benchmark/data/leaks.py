"""Looks whether what a method learns from gives away what it is asked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmark.data.dataset import Dataset
from benchmark.data.division import Split
from benchmark.data.histories import Examples
from benchmark.events import EventLog
from benchmark.schema import ITEM


def find_leaks(dataset: Dataset, split: Split) -> list[str]:
    """What is wrong with a split, one sentence a finding; empty where nothing is.

    It is written without the split's own arithmetic: for each user it compares sequences. What a
    method learns from, and every history, must be events of the user in their order, all of them
    before the first target of validation.
    """
    whole, train = dataset.events, split.train.events
    found: list[str] = []
    columns = split.train.catalog.columns.items()
    if any(not np.array_equal(own[1:], dataset.catalog.columns[n][1:]) for n, own in columns):
        found.append("the catalogue of training differs from the data set's")
    if _share_memory(train, whole):
        return [
            *found,
            "the training events are a view of all events, so later ones can be reached",
        ]
    if train.num_users != whole.num_users:
        return [*found, "training has other users than the data set"]

    targets: dict[int, dict[str, int]] = {}
    for name, examples in {"validation": split.validation, "test": split.test}.items():
        for user, place, problem in _places(whole, examples):
            if problem:
                found.append(f"{name}: {problem} of user {user}")
            targets.setdefault(user, {})[name] = place

    for row in range(whole.num_users):
        learnt = range(int(train.indptr[row]), int(train.indptr[row + 1]))
        places = _in_order(train, learnt, whole, row)
        if places is None:
            found.append(f"training: what user {row + 1} did is not what training says they did")
            continue
        asked = targets.get(row + 1, {})
        if "test" in asked and asked.get("validation", -1) >= asked["test"]:
            found.append(f"user {row + 1}: validation is not before test")
        if places and asked and places[-1] >= min(asked.values()):
            found.append(f"training: user {row + 1} learns a target or later events")
    if not split.leak and len(split.validation):
        latest = train.timestamps.max(initial=np.iinfo(np.int64).min)
        first = split.validation.log.timestamps[split.validation.stops].min()
        if latest >= first:
            found.append("training: some events are later than targets of others")
    return found


def _places(whole: EventLog, examples: Examples) -> Iterator[tuple[int, int, str]]:
    """User, place of the target among all events, and what is wrong, of each example."""
    for n, user in enumerate(examples.users.tolist()):
        span = range(int(examples.starts[n]), int(examples.ends[n]))
        history = len(range(int(examples.starts[n]), int(examples.stops[n])))
        places = _in_order(examples.log, span, whole, user - 1)
        if places is None:
            yield user, int(whole.indptr[user]), "history or target is not what they did"
        elif history and places[history - 1] >= places[history]:
            yield user, places[history], "the target does not follow the history"
        else:
            yield user, places[history], ""


def _in_order(part: EventLog, positions: range, whole: EventLog, row: int) -> list[int] | None:
    """Where some events stand among all of a user's, the latest such places; None = nowhere.

    Places are looked for from the end, so that of equal events the later one is taken: what may
    be a leak is found.
    """
    places: list[int] = []
    place = int(whole.indptr[row + 1])
    for position in reversed(positions):
        place -= 1
        while place >= whole.indptr[row] and not _equal(part, position, whole, place):
            place -= 1
        if place < whole.indptr[row]:
            return None
        places.append(place)
    return places[::-1]


def _equal(part: EventLog, position: int, whole: EventLog, place: int) -> bool:
    if part.timestamps[position] != whole.timestamps[place]:
        return False
    same = all(
        np.array_equal(column[position], whole.columns[name][place])
        for name, column in part.columns.items()
        if not whole.schema[name].derived  # what a gap is depends on what was left out
    )
    return same and all(
        texts[position] == whole.written[name][place] for name, texts in part.written.items()
    )


def _share_memory(left: EventLog, right: EventLog) -> bool:
    """True where an array of one log is a view into the other's."""
    pairs = [(left.timestamps, right.timestamps)]
    pairs += [(column, right.columns[name]) for name, column in left.columns.items()]
    pairs += [(left.columns[ITEM], right.columns[ITEM])]
    return any(np.shares_memory(a, b) for a, b in pairs)
