"""A data set in memory, built from two checked frames: what happened, and what there is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from benchmark.data.arrays import let_go
from benchmark.data.encoding import PIECE, check_columns, count, encode_feature, external_ids
from benchmark.data.event_columns import sort_events
from benchmark.data.gaps import GAP_FEATURE
from benchmark.data.ordering import gap_buckets
from benchmark.errors import UserError
from benchmark.events import EventLog
from benchmark.schema import (
    ITEM,
    TEXT,
    TIMESTAMP,
    USER,
    Feature,
    FeatureKind,
    FeatureSchema,
    IdMap,
)
from benchmark.texts import Texts
from benchmark.types import TITLES, Catalog


@dataclass(frozen=True)
class Dataset:
    """Everything that is known, test events too: only the harness holds one, never a method.

    Attributes:
        name: As the registry calls it.
        users: External user ids; internal index u is row u - 1 of `events`.
        catalog: The items.
        events: All events, by user in the order of `users`, then by time, then in file order.
        fingerprint: SHA-256 of users, items, texts, features and events.
        has_repeats: True where some user meets an item twice.
        licence: Under which terms the data may be used.
        citation: Whom to cite.
        source: Where the data came from.
        facts: Counts that a reader wants to know.
        label_feature: The item feature that `favorite_genre` asks about, "" where there is none.
        broken: What reading skipped or changed, by reason, with counts.
        notes: Lines that a reader of results should see.
    """

    name: str
    users: IdMap
    catalog: Catalog
    events: EventLog
    fingerprint: str
    has_repeats: bool
    licence: str
    citation: str
    source: str
    facts: Mapping[str, object]
    label_feature: str = ""
    broken: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def build_dataset(
    name: str,
    events: pl.DataFrame | dict[str, pl.Series],
    catalog: pl.DataFrame,
    features: Sequence[Feature],
    *,
    source: str,
    licence: str,
    citation: str,
    gaps: bool = True,
    label_feature: str = "",
    text_source: str = TITLES,
) -> Dataset:
    """Checks two frames and turns them into a data set.

    Users are numbered in the order in which the file first names them, items in catalogue order.
    A user's events are sorted by timestamp with a stable sort: equal timestamps stay in file order.

    Args:
        name: As the registry calls it.
        events: Columns `user`, `item`, `timestamp` (whole seconds), one a feature that is not
            of the item, and `text` and `summary` where users wrote something. Rows in file order.
            A dictionary is emptied on the way, so that of very many events no more has to be in
            memory than what comes out.
        catalog: Columns `item`, `text` (what a language model may say for it), and one a feature
            of the item. Every item of `events` must be in it; more may be.
        features: The features beside the item. Values are the feature's labels; null = unknown.
            A list column where a feature is multi-valued, a numeric one where it is a number.
        source: Where the data came from.
        licence: Under which terms it may be used.
        citation: Whom to cite.
        gaps: Whether events also carry the time since the one before, see `benchmark.data.gaps`.
        label_feature: The item feature that `favorite_genre` asks about, "" where there is none.
        text_source: What the catalogue's texts are, see `benchmark.types.TEXT_SOURCES`.

    Raises:
        UserError: A column is missing, has missing values, or a value that is not declared.
    """
    own = [feature for feature in features if not feature.of_item]
    of_item = [feature for feature in features if feature.of_item]
    check_columns(name, "events", events, [USER, ITEM, TIMESTAMP], [f.name for f in own])
    check_columns(name, "catalogue", catalog, [ITEM, TEXT], [f.name for f in of_item])
    if not events[TIMESTAMP].dtype.is_integer():
        raise UserError(f"data set {name!r}: column {TIMESTAMP!r} must hold whole seconds")
    items = external_ids(name, catalog[ITEM])
    texts = ("", *(text.strip() for text in catalog[TEXT].cast(pl.String)))
    if "" in texts[1:]:
        raise UserError(
            f"data set {name!r}: item {items.to_external(texts.index('', 1))!r} has no text"
        )

    rows = events if isinstance(events, dict) else events.to_dict()
    found = sort_events(name, rows, catalog[ITEM], own)
    item_columns = {}
    for feature in of_item:
        codes = encode_feature(name, feature, catalog[feature.name])
        item_columns[feature.name] = np.concatenate([np.zeros_like(codes[:1]), codes])

    log = EventLog(
        schema=FeatureSchema((Feature(ITEM, FeatureKind.ID, len(items)), *features)),
        indptr=found.indptr,
        columns=found.columns,
        item_columns=item_columns,
        timestamps=found.timestamps,
        written=found.written,
    )
    known = Catalog(items, texts, item_columns, text_source)
    with ThreadPoolExecutor(1) as beside:  # the gap follows from the rest: it is in no fingerprint
        printed = beside.submit(fingerprint, known, log, found.users.external_ids)
        log = _with_gaps(log) if gaps else log
    return Dataset(
        name=name,
        users=found.users,
        catalog=known,
        events=log,
        fingerprint=printed.result(),
        has_repeats=found.has_repeats,
        licence=licence,
        citation=citation,
        source=source,
        facts=describe(known, log),
        label_feature=label_feature,
    )


def _with_gaps(log: EventLog) -> EventLog:
    return replace(
        log,
        schema=FeatureSchema((*log.schema, GAP_FEATURE)),
        columns={**log.columns, GAP_FEATURE.name: gap_buckets(log.timestamps, log.indptr)},
    )


def describe(catalog: Catalog, log: EventLog) -> dict[str, object]:
    """Counts of a data set."""
    lengths = log.lengths
    distinct = len(set(catalog.texts[1:]))
    return {
        "users": log.num_users,
        "items": len(catalog),
        "items_with_events": int(np.count_nonzero(count(log.items, len(catalog))[1:])),
        "duplicate_texts": len(catalog) - distinct,
        "events": log.num_events,
        "events_a_user_median": float(np.median(lengths)) if len(lengths) else 0.0,
        "density": log.num_events / max(1, log.num_users * len(catalog)),
    }


def fingerprint(catalog: Catalog, log: EventLog, users: Sequence[str] = ()) -> str:
    """SHA-256 of everything in catalogue and events that a method could learn from.

    Derived columns are left out: they follow from the rest.
    """
    schema = log.schema.given
    digest = hashlib.sha256(schema.fingerprint().encode())

    def put(part: bytes) -> None:
        # Lengths go in too, so that no two different contents are the same stream of bytes.
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)

    def put_numbers(values: np.ndarray) -> None:
        digest.update((8 * values.size).to_bytes(8, "little"))
        for begin in range(0, values.size, PIECE):
            digest.update(np.ascontiguousarray(values[begin : begin + PIECE], dtype="<i8").data)

    def put_texts(label: str, texts: Sequence[str]) -> None:
        flat = texts if isinstance(texts, Texts) else Texts.of(texts)
        put(label.encode())
        put_numbers(flat.lengths)
        digest.update(len(flat.joined).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(flat.joined).data)

    def put_array(label: str, values: np.ndarray) -> None:
        put(label.encode())
        put(str(values.shape).encode())
        put_numbers(values.reshape(-1))
        let_go([values])

    put_texts("users", users)
    put_texts("items", catalog.items.external_ids)
    put_texts("texts", catalog.texts)
    for name in sorted(catalog.columns):
        put_array(f"catalogue {name}", catalog.columns[name])
    put_array("indptr", log.indptr)
    put_array("timestamps", log.timestamps)
    for name in sorted(set(log.columns) & set(schema.names)):
        put_array(f"event {name}", log.columns[name])
    put_texts("written", log.written.get(TEXT, ()))
    for name in sorted(set(log.written) - {TEXT}):
        put_texts(f"written {name}", log.written[name])
    return digest.hexdigest()
