"""What one wants to know of a data set before using it: `userllm-bench data info`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import numpy as np

from benchmark.data.dataset import Dataset
from benchmark.data.store.store import Manifest, dataset_folder
from benchmark.events import EventLog
from benchmark.schema import PADDING, Feature


def describe_dataset(dataset: Dataset, manifest: Manifest | None) -> dict[str, Any]:
    """Everything that `data info` says, as JSON can hold it.

    Args:
        dataset: The data set.
        manifest: How it was prepared, None where it is embedded.
    """
    log, catalog = dataset.events, dataset.catalog
    distinct = _distinct_pairs(log)
    repeats = log.num_events - distinct
    found: dict[str, Any] = {
        "name": dataset.name,
        "source": dataset.source,
        "users": log.num_users,
        "items": len(catalog),
        "items_with_events": int(np.count_nonzero(np.bincount(log.items)[1:])),
        "events": log.num_events,
        "sparsity": 1.0 - distinct / max(1, log.num_users * len(catalog)),
        "events_a_user": _spread(log.lengths),
        "first": _moment(log.timestamps.min()) if log.num_events else None,
        "last": _moment(log.timestamps.max()) if log.num_events else None,
        "repeats": {"events": repeats, "share": repeats / max(1, log.num_events)},
        "texts": _texts(dataset),
        "features": [_feature(dataset, feature) for feature in log.schema],
        "label_feature": dataset.label_feature,
        "skipped": dict(dataset.broken),
        "fingerprint": dataset.fingerprint,
        "licence": dataset.licence,
        "citation": dataset.citation,
    }
    if manifest is not None:
        found |= {
            "folder": str(dataset_folder(manifest.name)),
            "bytes": sum(manifest.files.values()),
            "settings": dict(manifest.settings),
            "source_files": [file.model_dump() for file in manifest.source_files],
            "notes": list(manifest.notes),
            "prepared": manifest.created,
            "prepared_by": manifest.package_version,
        }
    return found


def _distinct_pairs(log: EventLog) -> int:
    """Pairs of user and item that have an event."""
    row = np.repeat(np.arange(log.num_users, dtype=np.int64), log.lengths)
    pairs = row * (int(log.items.max(initial=0)) + 1) + log.items
    pairs.sort()
    return int(np.count_nonzero(np.diff(pairs)) + min(1, len(pairs)))


def _spread(lengths: np.ndarray) -> dict[str, float]:
    if not len(lengths):
        return {}
    return {
        "min": int(lengths.min()),
        "median": float(np.median(lengths)),
        "mean": float(lengths.mean()),
        "max": int(lengths.max()),
    }


def _moment(seconds: int) -> str:
    """A UTC time as ISO 8601, or the number where no calendar has it."""
    try:
        return datetime.fromtimestamp(int(seconds), timezone.utc).isoformat()
    except (ValueError, OverflowError, OSError):
        return f"{int(seconds)} s"


def _texts(dataset: Dataset) -> dict[str, Any]:
    """How many items have a text of their own, and how many events what a user wrote."""
    catalog, log = dataset.catalog, dataset.events
    ids = catalog.items.external_ids
    own, distinct = 0, set()
    for text, name in zip(catalog.texts[1:], ids, strict=True):
        own += text != name
        distinct.add(text)
    count = max(1, log.num_events)
    return {
        "items_are": catalog.text_source,
        "items_with_text": own,
        "items_with_text_share": own / max(1, len(ids)),
        "distinct": len(distinct),
        "written": {
            name: float(np.count_nonzero(texts.lengths)) / count
            for name, texts in sorted(log.written.items())
        },
    }


def _feature(dataset: Dataset, feature: Feature) -> dict[str, Any]:
    columns = dataset.catalog.columns if feature.of_item else dataset.events.columns
    found: dict[str, Any] = {
        "name": feature.name,
        "kind": str(feature.kind.value),
        "of_item": feature.of_item,
        "values": feature.cardinality,
    }
    codes = columns.get(feature.name)
    if codes is not None:
        real = codes[1:] if feature.of_item else codes
        known = np.any(real != PADDING, axis=1) if real.ndim == 2 else real != PADDING
        found["known_share"] = float(known.mean()) if len(known) else 0.0
    return found


def lines(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The same for people: a heading and what stands beside it, a line each."""
    each, texts, repeats = found["events_a_user"], found["texts"], found["repeats"]
    table = [
        ("data set", found["name"]),
        ("source", found["source"]),
        ("users", f"{found['users']:,}"),
        ("items", f"{found['items']:,}, {found['items_with_events']:,} of them with events"),
        ("events", f"{found['events']:,}"),
    ]
    if each:
        spread = "min {min:,}, median {median:g}, mean {mean:.1f}, max {max:,}".format(**each)
        table.append(("events a user", spread))
        table.append(("dates", f"{_say_moment(found['first'])} to {_say_moment(found['last'])}"))
    table += [
        ("sparsity", f"{found['sparsity']:.4%} of user-item pairs have no event"),
        ("repeats", f"{repeats['events']:,} events ({repeats['share']:.2%}) repeat a pair"),
        (
            "item texts",
            f"{texts['items_are']}; {texts['items_with_text']:,} items"
            f" ({texts['items_with_text_share']:.1%}) have one, {texts['distinct']:,} differ",
        ),
    ]
    table += [
        (f"written {name}", f"{share:.1%} of events") for name, share in texts["written"].items()
    ]
    table += [
        ("feature " + feature["name"], _say_feature(feature)) for feature in found["features"]
    ]
    table.append(("label", found["label_feature"] or "none: favorite_genre is n/a"))
    table += [(f"skipped: {reason}", f"{n:,}") for reason, n in found["skipped"].items() if n]
    for note in found.get("notes", ()):
        table.append(("note", note))
    if "folder" in found:
        settings = ", ".join(f"{name}={value}" for name, value in found["settings"].items())
        table.append(("lies in", f"{found['folder']} ({found['bytes'] / 2**20:.1f} MiB)"))
        table.append(("prepared", f"{found['prepared']} by {found['prepared_by']}; {settings}"))
        table += [
            (f"file {file['name']}", f"{file['bytes']:,} bytes, sha256 {file['sha256']}")
            for file in found["source_files"]
        ]
    table += [
        ("fingerprint", found["fingerprint"]),
        ("licence", found["licence"]),
        ("citation", found["citation"]),
    ]
    return table


def _say_moment(moment: str) -> str:
    return moment.replace("T", " ").replace("+00:00", " UTC")


def _say_feature(feature: Mapping[str, Any]) -> str:
    owner = "item" if feature["of_item"] else "event"
    text = f"{feature['kind']} of the {owner}, {feature['values']:,} values"
    if "known_share" in feature:
        text += f", known for {feature['known_share']:.1%}"
    return text
