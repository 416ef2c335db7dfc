"""Histories of one's own: from plain Python rows to schema, catalogue, events and batches.

An *event* is an external item id, or a mapping with `item`, the features of the event, and where
known `timestamp` (seconds) and `text` (what the user wrote). A *history* is a list of events,
oldest first; *histories* are a list of them, one a user. What is None or NaN is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.errors import UserError
from benchmark.events import EventLog
from benchmark.schema import (
    GAP,
    ITEM,
    TEXT,
    TIMESTAMP,
    Feature,
    FeatureKind,
    FeatureSchema,
    IdMap,
    number,
)
from benchmark.texts import Texts
from benchmark.types import Catalog, HistoryBatch
from userllm.arguments import check_kind, shown
from userllm.feature_values import encode_values, inferred_feature, is_unknown, unknown_name

TITLE = "title"
"""Key of an item's text: what the language model says for it."""

Event = str | Mapping[str, Any]
Histories = HistoryBatch | Sequence[Sequence[Event]]


def infer_schema(
    items: Mapping[Any, str | Mapping[str, Any]],
    histories: Iterable[Sequence[Event]] = (),
    *,
    gap_edges_seconds: Sequence[float] = (),
) -> FeatureSchema:
    """The features that rows have: of items first, then of events, in the order of their names.

    A feature whose values are lists is multi-valued, any other a category with the values that
    occur. For what this cannot know (numbers by range, values still to come) write the
    `FeatureSchema` yourself.

    Args:
        items: External id → title, or a mapping with `title` and features.
        histories: Histories whose events show which features and values there are.
        gap_edges_seconds: Adds the feature `gap`, the time since the event before in buckets that
            meet at these edges. An encoder reads it where its settings name it.

    Raises:
        UserError: No item; a feature of both items and events, or with a name that means something
            else; rows, histories or edges that are not as described.
    """
    _check_items(items)
    of_item = _values_by_name((row for row in items.values() if not isinstance(row, str)), {TITLE})
    of_event = _values_by_name(
        (row for rows in _users(histories) for row in rows),
        {ITEM, TIMESTAMP, TEXT},
    )
    taken = (ITEM, TIMESTAMP, TEXT, TITLE, GAP)
    for name in (*of_item, *of_event):
        if name in taken or (name in of_item and name in of_event):
            raise UserError(f"feature {name!r}: name it otherwise, in items or in events")
    features = [
        *(inferred_feature(name, values, of_item=True) for name, values in sorted(of_item.items())),
        *(
            inferred_feature(name, values, of_item=False)
            for name, values in sorted(of_event.items())
        ),
        *_gap(gap_edges_seconds),
    ]
    return FeatureSchema((Feature(ITEM, FeatureKind.ID, len(items)), *features))


def build_catalog(items: Mapping[Any, str | Mapping[str, Any]], schema: FeatureSchema) -> Catalog:
    """The catalogue of items; item 1 is the first.

    Args:
        items: External id → title, or a mapping with `title` and the features of items.
        schema: What is known of an item; a value that is absent is unknown.

    Raises:
        UserError: An item without a title, an unknown feature or value, or another number of items.
    """
    _check_items(items)
    check_kind("schema", schema, FeatureSchema, "infer_schema(items, histories)")
    if len(items) != schema.num_items:
        raise UserError(f"{len(items)} items, but the schema is of {schema.num_items}")
    rows = {str(key): {TITLE: row} if isinstance(row, str) else row for key, row in items.items()}
    texts = [""]
    features = [f for f in schema if f.of_item]
    for name, row in rows.items():
        _check_keys(row, {TITLE, *(f.name for f in features)}, f"item {name!r}")
        texts.append(_text(row.get(TITLE)).strip())
        if not texts[-1]:
            raise UserError(f"item {name!r} has no {TITLE!r}: it is what the language model says")
    columns = {
        f.name: encode_values(f, [None, *(row.get(f.name) for row in rows.values())])
        for f in features
    }
    return Catalog(IdMap(rows), tuple(texts), columns)


def build_log(
    histories: Sequence[Sequence[Event]], schema: FeatureSchema, catalog: Catalog | None = None
) -> EventLog:
    """Events of users, ready for training or for `EventLog.gather`.

    A history whose events all have a timestamp is sorted by time, stably; others stay as given.

    Args:
        histories: One list of events a user.
        schema: Features of an event; what an event does not name is unknown.
        catalog: The items by their external ids. Without it an item is its index, 1 to `N`.

    Raises:
        UserError: An unknown item, feature or value, or histories that are no lists of events.
    """
    check_kind("schema", schema, FeatureSchema, "infer_schema(items, histories)")
    if catalog is not None:
        check_kind("catalog", catalog, Catalog, "build_catalog(items, schema)")
    users = [_sorted(rows) for rows in _users(histories)]
    lengths = [len(rows) for rows in users]
    rows = [row for history in users for row in history]
    own = [f for f in schema if not f.of_item and f.name != ITEM]
    known = {ITEM, TIMESTAMP, TEXT, *(f.name for f in own if f.name != GAP)}
    for row in rows:
        _check_keys(row, known, "an event")
        if is_unknown(row.get(ITEM)):
            raise UserError(f"an event has no {ITEM!r}: {dict(row)}")
    ids = None if catalog is None else catalog.items
    columns = {ITEM: encode_values(schema[ITEM], [row[ITEM] for row in rows], ids)}
    for feature in own:
        gap = feature.name == GAP
        values = _gaps(users) if gap else [row.get(feature.name) for row in rows]
        columns[feature.name] = encode_values(feature, values)
    item_columns: Mapping[str, np.ndarray] = {} if catalog is None else catalog.columns
    lacking = [f.name for f in schema if f.of_item and f.name not in item_columns]
    if lacking:
        raise UserError(
            f"feature {lacking[0]!r} follows from the item: a catalogue with it is needed"
        )
    texts = Texts.of(_text(row.get(TEXT)) for row in rows)
    return EventLog(
        schema=schema,
        indptr=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        columns=columns,
        item_columns=item_columns,
        timestamps=np.array([_seconds(row) or 0 for row in rows], dtype=np.int64),
        written={TEXT: texts} if len(texts.joined) else {},
    )


def read_batch(
    histories: Histories, schema: FeatureSchema, catalog: Catalog | None = None
) -> HistoryBatch:
    """Histories as a batch `[B, L]`, `L` that of the longest; a batch passes through.

    Raises:
        UserError: See `build_log`.
    """
    if isinstance(histories, HistoryBatch):
        return histories
    log = build_log(histories, schema, catalog)
    if not log.num_events:
        return _padding(log.num_users, schema)
    return log.gather(log.indptr[:-1], log.indptr[1:], int(log.lengths.max()))


def check_batch(histories: HistoryBatch, schema: FeatureSchema, columns: Iterable[str]) -> None:
    """Refuses a batch that lacks columns, or has values that a schema does not know.

    Raises:
        UserError: It names the feature.
    """
    if not isinstance(histories.mask, Tensor) or histories.mask.dtype != torch.bool:
        raise UserError("the mask of the histories has to be a BoolTensor, [B, L]")
    for name in columns:
        if name not in histories.features:
            raise UserError(f"the histories lack feature {name!r}, which the encoder reads")
        values, most = histories.features[name], schema[name].cardinality
        sound = isinstance(values, Tensor) and values.dtype in (torch.int32, torch.int64)
        if not sound or values.shape[:2] != histories.mask.shape:
            raise UserError(f"{name!r} of the histories has to be a LongTensor, [B, L] as the mask")
        if values.numel() and not 0 <= int(values.min()) <= int(values.max()) <= most:
            raise UserError(f"the histories have values of {name!r} outside of 0 to {most}")


def latest_events(histories: HistoryBatch, length: int) -> HistoryBatch:
    """The latest `length` events of each history; the batch itself where none has more."""
    if histories.mask.shape[1] <= length:
        return histories
    start = (histories.lengths - length).clamp(min=0).unsqueeze(1)
    index = start + torch.arange(length, device=start.device)

    def cut(values: Tensor) -> Tensor:
        places = index.view(*index.shape, *[1] * (values.ndim - 2))
        return values.gather(1, places.expand(-1, -1, *values.shape[2:]))

    features = {name: cut(values) for name, values in histories.features.items()}
    return HistoryBatch(features, cut(histories.mask), histories.users)


def seen_items(histories: HistoryBatch, num_items: int) -> Tensor:
    """Which items each history holds, `BoolTensor[B, N + 1]`; False for padding."""
    items = histories.features[ITEM]
    seen = torch.zeros(len(items), num_items + 1, dtype=torch.bool, device=items.device)
    seen.scatter_(1, items, True)
    seen[:, 0] = False
    return seen


def _padding(users: int, schema: FeatureSchema) -> HistoryBatch:
    shapes = {f.name: (f.width,) if f.kind is FeatureKind.MULTI else () for f in schema}
    features = {n: torch.zeros(users, 1, *own, dtype=torch.long) for n, own in shapes.items()}
    return HistoryBatch(features, torch.zeros(users, 1, dtype=torch.bool))


def _check_items(items: Mapping[Any, Any]) -> None:
    check_kind("items", items, Mapping, "a mapping of external ids to titles or rows")
    if not items:
        raise UserError("items is empty: there is nothing to say or to rank")
    for key, row in items.items():
        if not isinstance(row, (str, Mapping)):
            told = f"item {key!r} is {shown(row)}"
            raise UserError(f"{told}: a title, or a mapping with one, is needed")
    if len({str(key) for key in items}) != len(items):
        raise UserError("two items have ids that are the same as text: give each one of its own")


def _gap(edges_seconds: Sequence[float]) -> list[Feature]:
    """The feature `gap`, where edges ask for it."""
    needed = "ascending finite numbers of seconds are needed"
    wrong = f"gap_edges_seconds={shown(edges_seconds)}: {needed}"
    if not isinstance(edges_seconds, Iterable):
        raise UserError(wrong)
    edges = tuple(edges_seconds)
    if not all(isinstance(edge, Real) for edge in edges):
        raise UserError(wrong)
    try:
        return [number(GAP, edges, derived=True)] if edges else []
    except ValueError:
        raise UserError(wrong) from None


def _users(histories: Iterable[Sequence[Event]]) -> list[list[Mapping[str, Any]]]:
    """Rows of events, a list a user."""
    return [_rows(history) for history in _many(histories)]


def _rows(history: Sequence[Event]) -> list[Mapping[str, Any]]:
    return [event if isinstance(event, Mapping) else {ITEM: event} for event in _many(history)]


def _many(given: Any) -> Iterable[Any]:
    if isinstance(given, (str, Mapping)) or not isinstance(given, Iterable):
        raise UserError(
            f"histories are one list of events a user, [[...], ...]; got {shown(given)}"
        )
    return given


def _text(value: Any) -> str:
    return "" if is_unknown(value) else str(value)


def _seconds(row: Mapping[str, Any]) -> Any:
    """When an event was; None where that is unknown."""
    time: Any = row.get(TIMESTAMP)
    if is_unknown(time):
        return None
    known: object = time
    if isinstance(known, bool) or not isinstance(known, Real) or not abs(time) < 2**63:
        raise UserError(f"{TIMESTAMP} {shown(time)}: a number of seconds is needed")
    return time


def _sorted(rows: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return rows if None in map(_seconds, rows) else sorted(rows, key=_seconds)


def _gaps(users: list[list[Mapping[str, Any]]]) -> list[float | None]:
    """Seconds since the same user's event before; None where there is none or no time."""
    gaps: list[float | None] = []
    for rows in users:
        before = None
        for row in rows:
            now = _seconds(row)
            gaps.append(None if now is None or before is None else now - before)
            before = now
    return gaps


def _check_keys(row: Mapping[str, Any], known: set[str], whose: str) -> None:
    for name in row:
        if name not in known:
            raise unknown_name(f"feature of {whose}:", str(name), sorted(known))


def _values_by_name(rows: Iterable[Mapping[str, Any]], skipped: set[str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            if not isinstance(name, str):
                raise UserError(f"feature {name!r}: a name has to be text")
            if name not in skipped and value is not None:
                found.setdefault(name, []).append(value)
    return found
