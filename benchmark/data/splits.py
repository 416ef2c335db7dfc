"""The one place that decides what is training, validation and test."""

from __future__ import annotations

from datetime import date, datetime, timezone

import numpy as np

from benchmark.data.dataset import Dataset
from benchmark.data.division import COLD, Need, Part, Split, divided
from benchmark.data.encoding import count
from benchmark.data.splits_config import ColdItemsSettings, GlobalTimeSettings, SplitSettings
from benchmark.errors import UserError
from benchmark.events import kept_before, within

ONE_EVENT = Need()

LEAK_LAST = "training events of some users are later than test targets of others"
LAST = (
    "last event of a user = test target, the one before = validation target, all others training;"
    " stable sort by time within a user, equal timestamps in file order;"
    " users with fewer than 3 events only train;"
    f" known leak: {LEAK_LAST}"
)


def split_last(
    dataset: Dataset, need: Need = ONE_EVENT, settings: SplitSettings | None = None
) -> Split:
    """Leave-one-out by time.

    Validation examples have the training events as history, test examples those and the
    validation target (and what stands between). The logs behind training and validation are
    copies that hold no later event.

    Args:
        dataset: What to divide.
        need: What a target is: by default the last event.
        settings: It has none.

    Raises:
        UserError: No user has enough events.
    """
    rows, validation, test = _last_targets(dataset, need)
    log = dataset.events
    cut = log.indptr[1:].copy()
    cut[rows] = validation
    kept = within(log.indptr[:-1], cut, log.num_events)
    everything = np.ones(log.num_events, dtype=bool)
    return divided(
        dataset,
        "last",
        kept,
        Part(rows, validation, validation + need.block, everything),
        Part(rows, test, test + need.block, everything),
        LAST if need == ONE_EVENT else _say_last(need),
        LEAK_LAST,
    )


def _say_last(need: Need) -> str:
    what = f"last {need.block} events" if need.block > 1 else f"last event with a {need.field}"
    return (
        f"{what} of a user = test target, the same before it = validation target, what comes"
        " before that training; stable sort by time within a user, equal timestamps in file order;"
        f" users with too few events only train; known leak: {LEAK_LAST}"
    )


def _last_targets(dataset: Dataset, need: Need) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users with targets, and where the targets of validation and test begin."""
    log = dataset.events
    counts = log.lengths
    eligible = None  # all events
    if need.field:
        if need.field not in log.written:
            raise UserError(f"data set {dataset.name!r} has no {need.field} that users wrote")
        eligible = np.flatnonzero(log.written[need.field].lengths > 0)
        owner = np.searchsorted(log.indptr, eligible, side="right") - 1
        counts = np.bincount(owner, minlength=log.num_users)
    # The last two blocks of each user's eligible events (which are neighbours unless a field
    # makes them few, and then a block is one event).
    stops = np.cumsum(counts)
    rows = np.flatnonzero(counts >= 2 * need.block)
    test, validation = stops[rows] - need.block, stops[rows] - 2 * need.block
    if eligible is not None:
        test, validation = eligible[test], eligible[validation]
    enough = validation > log.indptr[rows]
    if not enough.any():
        what = f"{need.block} events" if need.block > 1 else "events"
        what = f"events with a {need.field}" if need.field else what
        raise UserError(
            f"data set {dataset.name!r}: no user has a history and behind it two times the "
            f"{what} that a target takes ({2 * need.block + 1} events at least)"
        )
    return rows[enough], validation[enough], test[enough]


def split_global_time(
    dataset: Dataset, need: Need = ONE_EVENT, settings: GlobalTimeSettings | None = None
) -> Split:
    """Training strictly before a date; targets are each user's first events after it.

    Validation targets fall between the first date and the second, test targets from the second
    date on; a history holds all of the user's events before the date that its target follows.
    Users without a history there are cold: they are counted and not asked.

    Args:
        dataset: What to divide.
        need: What a target is.
        settings: The dates, or the shares of events that follow them.

    Raises:
        UserError: Nobody has a history before a date and a target after it.
    """
    settings = settings or GlobalTimeSettings()
    log, times = dataset.events, dataset.events.timestamps
    shares = settings.validation_share + settings.test_share, settings.test_share
    first, second = (
        _instant(given, times, share)
        for given, share in zip((settings.validation_from, settings.test_from), shares, strict=True)
    )
    if first >= second:
        raise UserError(
            f"data set {dataset.name!r}: validation would begin at {_day(first)} and test at "
            f"{_day(second)}: set global_time.validation_from and test_from"
        )
    parts, cold = [], {}
    for name, begin, end in (("validation", first, second), ("test", second, None)):
        inside = times >= begin if end is None else (times >= begin) & (times < end)
        known = times < begin
        rows, begins, ends = _first_targets(dataset, inside, need)
        met = np.diff(kept_before(known, log.indptr)) > 0
        cold[f"{name}_users_cold"] = int((~met[rows]).sum())
        rows, begins, ends = (array[met[rows]] for array in (rows, begins, ends))
        if not len(rows):
            raise UserError(
                f"data set {dataset.name!r}: no user has a history before {_day(begin)} and a "
                f"{name} target from that day on: choose other dates or shares of global_time"
            )
        parts.append(Part(rows, begins, ends, known))
    description = (
        f"training before {_day(first)}; validation target = a user's first"
        f" {_what(need)} from that day to {_day(second)}; test target = the first from"
        f" {_day(second)} on; histories end with the day that their target follows; stable sort by"
        " time within a user, equal timestamps in file order; users without a history only train"
    )
    return divided(dataset, "global_time", times < first, parts[0], parts[1], description, "", cold)


def _what(need: Need) -> str:
    if need.block > 1:
        return f"{need.block} events"
    return f"event with a {need.field}" if need.field else "event"


def _instant(given: date | None, times: np.ndarray, share: float) -> int:
    """Seconds since 1970 of a day's beginning: the given one, or that after which a share lies."""
    if given is not None:
        return int(datetime(given.year, given.month, given.day, tzinfo=timezone.utc).timestamp())
    day = 86_400
    return int(np.quantile(times, 1 - share)) // day * day


def _day(instant: int) -> str:
    return datetime.fromtimestamp(instant, tz=timezone.utc).date().isoformat()


def _first_targets(
    dataset: Dataset, inside: np.ndarray, need: Need
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users with enough events inside, and where the first target of each begins and ends."""
    log = dataset.events
    if need.field:
        if need.field not in log.written:
            raise UserError(f"data set {dataset.name!r} has no {need.field} that users wrote")
        inside = inside & (log.written[need.field].lengths > 0)
    place = np.flatnonzero(inside)
    owner = np.searchsorted(log.indptr, place, side="right") - 1
    counts = np.bincount(owner, minlength=log.num_users)
    rows = np.flatnonzero(counts >= need.block)
    begins = place[(np.cumsum(counts) - counts)[rows]]
    return rows, begins, begins + need.block


def split_cold_items(
    dataset: Dataset, need: Need = ONE_EVENT, settings: ColdItemsSettings | None = None
) -> Split:
    """As `split_last`, with some items that nobody has met before they are a target.

    Every event with such an item is taken out of training and of all histories; texts and
    features of the items stay in the catalogue.

    Args:
        dataset: What to divide.
        need: What a target is.
        settings: How many items are cold.

    Raises:
        UserError: No user has enough events, or no cold item is a target.
    """
    settings = settings or ColdItemsSettings()
    log = dataset.events
    met = np.flatnonzero(count(log.items, log.schema.num_items))
    chosen = max(1, round(settings.share * len(met)))
    drawn = np.random.default_rng(settings.seed).choice(met, size=chosen, replace=False)
    cold = np.zeros(log.schema.num_items + 1, dtype=bool)
    cold[drawn] = True
    rows, validation, test = _last_targets(dataset, need)
    warm = ~cold[log.items]
    cut = log.indptr[1:].copy()
    cut[rows] = validation
    kept = warm & within(log.indptr[:-1], cut, log.num_events)
    description = (
        f"{LAST if need == ONE_EVENT else _say_last(need)}; {chosen} items"
        f" ({settings.share:.0%} of those with events, seed {settings.seed}) are cold: their"
        " events are in no training and in no history"
    )
    split = divided(
        dataset,
        "cold_items",
        kept,
        Part(rows, validation, validation + need.block, warm),
        Part(rows, test, test + need.block, warm),
        description,
        LEAK_LAST,
        {"items_cold": chosen},
    )
    if need.block == 1 and not split.test.groups[COLD].any():
        raise UserError(
            f"data set {dataset.name!r}: no cold item is a test target: raise cold_items.share"
        )
    return split
