"""Events as a frame has them, turned into the flat arrays of a log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from benchmark.data.arrays import let_go
from benchmark.data.encoding import (
    count,
    encode_feature,
    encode_ids,
    number_in_order,
    texts_of,
    whole_numbers,
)
from benchmark.data.ordering import (
    ascending_pairs,
    meets_again,
    sort_in_place,
    stand_together,
    time_order,
)
from benchmark.data.parallel import side_by_side
from benchmark.data.partition import dealt_out, user_parts
from benchmark.schema import ITEM, SUMMARY, TEXT, TIMESTAMP, USER, Feature, IdMap
from benchmark.texts import Texts


@dataclass(frozen=True)
class Events:
    """Events by user in the order in which the file first names them, then by time.

    Attributes:
        users: External user ids.
        indptr: See `EventLog`, as the next three.
        columns: The item and the features.
        timestamps: Seconds.
        written: What users wrote, by field.
        has_repeats: True where some user meets an item twice.
    """

    users: IdMap
    indptr: np.ndarray
    columns: dict[str, np.ndarray]
    timestamps: np.ndarray
    written: dict[str, Texts]
    has_repeats: bool


def sort_events(
    name: str, rows: dict[str, pl.Series], items: pl.Series, features: Sequence[Feature]
) -> Events:
    """Encodes and sorts events. What is no longer needed is let go on the way.

    Args:
        name: The data set, for errors.
        rows: Columns `user`, `item`, `timestamp`, the features, maybe `text` and `summary`, in
            file order. They are taken out of the dictionary.
        items: Ids of the catalogue.
        features: Those that every event has of its own.

    Raises:
        UserError: A value is not declared.
    """
    users, user_codes = number_in_order(rows.pop(USER))
    timestamps = whole_numbers(rows.pop(TIMESTAMP))
    columns: dict[str, np.ndarray] = {}

    def encode_items() -> None:
        columns[ITEM] = encode_ids(name, ITEM, rows.pop(ITEM), items)

    def encode_own(feature: Feature) -> None:
        columns[feature.name] = encode_feature(name, feature, rows.pop(feature.name))

    tasks: list[Callable[[], None]] = [encode_items]
    tasks += [partial(encode_own, feature) for feature in features]
    side_by_side(tasks)
    let_go([user_codes, timestamps, *columns.values()])
    never_again = ascending_pairs(user_codes, columns[ITEM])
    indptr = np.cumsum(count(user_codes, len(users)))
    fields = [field for field in (TEXT, SUMMARY) if field in rows]
    written = {}
    if not fields and stand_together(user_codes):
        # New memory is dear beside a sort, and most large files need none.
        sort_in_place(user_codes, timestamps, columns.values())
    elif not fields:
        parts = user_parts(indptr)
        if len(parts) > 1:
            user_codes, timestamps = _dealt_out(user_codes, timestamps, columns, indptr, parts)
        events = [slice(int(indptr[p.start]), int(indptr[p.stop])) for p in parts]
        sort_in_place(user_codes, timestamps, columns.values(), events)
    else:
        order = time_order(user_codes, timestamps)
        timestamps = timestamps[order]
        for column in columns:
            columns[column] = columns[column][order]
        written = {field: texts_of(rows.pop(field).gather(order)) for field in fields}
    columns = {name: columns[name] for name in (ITEM, *(feature.name for feature in features))}
    let_go([user_codes, timestamps, *columns.values()])
    has_repeats = not never_again and meets_again(columns[ITEM], indptr)
    return Events(users, indptr, columns, timestamps, written, has_repeats)


def _dealt_out(
    users: np.ndarray,
    timestamps: np.ndarray,
    columns: dict[str, np.ndarray],
    indptr: np.ndarray,
    parts: Sequence[slice],
) -> tuple[np.ndarray, np.ndarray]:
    """Users and timestamps with the events of each part of the users together; columns too."""
    of_user = np.repeat(np.arange(len(parts)), [part.stop - part.start for part in parts])
    kind = np.uint16 if len(parts) < 2**16 else np.int64  # small numbers are sorted faster
    part_of = np.concatenate([[0], of_user]).astype(kind)  # users' codes begin at 1
    starts = np.array([indptr[part.start] for part in parts])
    names = list(columns)
    users, timestamps, *others = dealt_out(
        users, part_of, starts, [users, timestamps, *(columns.pop(name) for name in names)]
    )
    columns.update(zip(names, others, strict=True))
    return users, timestamps
