"""A data set in memory, built from two checked frames: what happened, and what there is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from benchmark.data.encoding import check_columns, encode, external_ids, numbers
from benchmark.data.gaps import GAP_FEATURE, gap_column
from benchmark.errors import UserError
from benchmark.events import EventLog
from benchmark.schema import ITEM, TEXT, TIMESTAMP, USER, Feature, FeatureKind, FeatureSchema, IdMap
from benchmark.types import Catalog


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


def build_dataset(
    name: str,
    events: pl.DataFrame,
    catalog: pl.DataFrame,
    features: Sequence[Feature],
    *,
    source: str,
    licence: str,
    citation: str,
    gaps: bool = True,
) -> Dataset:
    """Checks two frames and turns them into a data set.

    Users are numbered in the order in which the file first names them, items in catalogue order.
    A user's events are sorted by timestamp with a stable sort: equal timestamps stay in file order.

    Args:
        name: As the registry calls it.
        events: Columns `user`, `item`, `timestamp` (whole seconds), one a feature that is not
            of the item, and `text` where users wrote something. Rows in file order.
        catalog: Columns `item`, `text` (what a language model may say for it), and one a feature
            of the item. Every item of `events` must be in it; more may be.
        features: The features beside the item. Values are the feature's labels; null = unknown.
            A list column where a feature is multi-valued, a numeric one where it is a number.
        source: Where the data came from.
        licence: Under which terms it may be used.
        citation: Whom to cite.
        gaps: Whether events also carry the time since the one before, see `benchmark.data.gaps`.

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
    users = IdMap(events[USER].cast(pl.String).unique(maintain_order=True))
    texts = ("", *(text.strip() for text in catalog[TEXT].cast(pl.String)))
    if "" in texts[1:]:
        raise UserError(
            f"data set {name!r}: item {items.to_external(texts.index('', 1))!r} has no text"
        )

    user_index = encode(name, USER, events[USER], users.external_ids)
    timestamps = events[TIMESTAMP].cast(pl.Int64).to_numpy()
    order = np.lexsort((timestamps, user_index))  # a stable sort: ties stay in file order
    columns = {ITEM: encode(name, ITEM, events[ITEM], items.external_ids)[order]}
    for feature in own:
        columns[feature.name] = encode_feature(name, feature, events[feature.name])[order]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(user_index - 1, minlength=len(users)))])
    timestamps = timestamps[order]
    if gaps:
        features = (*features, GAP_FEATURE)
        columns[GAP_FEATURE.name] = gap_column(timestamps, indptr)
    item_columns = {}
    for feature in of_item:
        codes = encode_feature(name, feature, catalog[feature.name])
        item_columns[feature.name] = np.concatenate([np.zeros_like(codes[:1]), codes])

    written = events[TEXT].cast(pl.String).fill_null("").gather(order) if TEXT in events else None
    log = EventLog(
        schema=FeatureSchema((Feature(ITEM, FeatureKind.ID, len(items)), *features)),
        indptr=indptr,
        columns=columns,
        item_columns=item_columns,
        timestamps=timestamps,
        texts=None if written is None else tuple(written),
    )
    known = Catalog(items, texts, item_columns)
    pairs = np.unique(np.stack([user_index[order], log.items]), axis=1).shape[1]
    return Dataset(
        name=name,
        users=users,
        catalog=known,
        events=log,
        fingerprint=fingerprint(known, log, users.external_ids),
        has_repeats=pairs < log.num_events,
        licence=licence,
        citation=citation,
        source=source,
        facts=describe(known, log),
    )


def encode_feature(name: str, feature: Feature, column: pl.Series) -> np.ndarray:
    """Values of one feature as indices, `[rows]` or `[rows, V]`; 0 where unknown."""
    if feature.kind is FeatureKind.NUMBER:
        return feature.bucket(numbers(name, feature.name, column))
    if feature.kind is not FeatureKind.MULTI:
        return encode(name, feature.name, column, feature.labels)
    frame = pl.DataFrame({"row": np.arange(len(column)), "value": column})
    frame = frame.explode("value").filter(pl.col("value").is_not_null())
    frame = frame.with_columns(nth=pl.int_range(pl.len()).over("row"))
    codes = np.zeros((len(column), feature.width), dtype=np.int32)
    if len(frame) and frame["nth"].cast(pl.Int64).to_numpy().max() >= feature.width:
        raise UserError(
            f"data set {name!r}: {feature.name!r} has more than {feature.width} values in a row"
        )
    values = encode(name, feature.name, frame["value"], feature.labels)
    codes[frame["row"].to_numpy(), frame["nth"].to_numpy()] = values
    return codes


def describe(catalog: Catalog, log: EventLog) -> dict[str, object]:
    """Counts of a data set."""
    lengths = log.lengths
    distinct = len(set(catalog.texts[1:]))
    return {
        "users": log.num_users,
        "items": len(catalog),
        "items_with_events": len(np.unique(log.items)),
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

    def put(label: str, *parts: bytes) -> None:
        # Lengths go in too, so that no two different contents are the same stream of bytes.
        for part in (label.encode(), *parts):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)

    def put_texts(label: str, texts: Sequence[str]) -> None:
        lengths = np.array([len(text.encode()) for text in texts], dtype="<i8")
        put(label, lengths.tobytes(), "".join(texts).encode())

    def put_array(label: str, values: np.ndarray) -> None:
        put(label, str(values.shape).encode(), np.ascontiguousarray(values, dtype="<i8").tobytes())

    put_texts("users", users)
    put_texts("items", catalog.items.external_ids)
    put_texts("texts", catalog.texts)
    for name in sorted(catalog.columns):
        put_array(f"catalogue {name}", catalog.columns[name])
    put_array("indptr", log.indptr)
    put_array("timestamps", log.timestamps)
    for name in sorted(set(log.columns) & set(schema.names)):
        put_array(f"event {name}", log.columns[name])
    put_texts("written", log.texts or ())
    return digest.hexdigest()
