"""Prepared data sets on disk: arrays that are opened in place, readable tables, a manifest.

A folder holds `manifest.json`; `arrays/*.npy`, which are memory-mapped and never read as a whole;
and `users.parquet` and `items.parquet`, which nothing here reads: they are for whoever wants to
look at a prepared data set with another tool.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark import __version__
from benchmark.data.arrays import let_go, map_array, write_array
from benchmark.data.parallel import side_by_side
from benchmark.data.store.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    Manifest,
    SourceFile,
    broken,
    dataset_folder,
    missing_file,
    read_manifest,
)
from benchmark.errors import UserError
from benchmark.schema import FeatureSchema, IdMap
from benchmark.system.durable import sync
from benchmark.texts import Texts

if TYPE_CHECKING:
    from benchmark.data.dataset import Dataset

__all__ = [
    "FORMAT_VERSION",
    "Manifest",
    "Origin",
    "SourceFile",
    "dataset_folder",
    "open_dataset",
    "read_manifest",
    "write_dataset",
]

_ROWS_AT_ONCE = 2**22
_DAMAGE = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    SyntaxError,
    TokenError,
    TypeError,
    ValueError,
)
"""What NumPy raises for arrays that are none, by way of Python's parser."""


@dataclass(frozen=True)
class Origin:
    """What a manifest says beyond the data set itself; see `Manifest`."""

    source_files: tuple[SourceFile, ...] = ()
    source_names: str = ""
    reader: str = ""
    code: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


def open_dataset(name: str) -> Dataset:
    """Opens a prepared data set; its arrays stay on disk until they are read.

    Raises:
        UserError: It is not prepared, or what is there is broken or of another version.
    """
    for last in (False, True):
        manifest = read_manifest(name)
        if manifest is None:
            raise UserError(
                f"data set {name!r} is not prepared: run `userllm-bench data prepare {name}"
                " --from PATH` with the files of its publisher"
            )
        try:
            wrong = missing_file(name, manifest)
            if wrong:
                raise broken(name, f"{wrong} is missing or of another size")
            dataset = _open(name, manifest)
        except (UserError, *_DAMAGE) as error:
            # It may have been prepared anew between one file and the next.
            if last or read_manifest(name) == manifest:
                if isinstance(error, UserError):
                    raise
                raise broken(name, f"its arrays cannot be read ({error})") from error
            continue
        if read_manifest(name) == manifest:
            return dataset
    return dataset


def _open(name: str, manifest: Manifest) -> Dataset:
    # Imported here: who only wants to read manifests does not have to wait for torch.
    from benchmark.data.dataset import Dataset
    from benchmark.events import EventLog
    from benchmark.types import Catalog

    schema = FeatureSchema.from_json(manifest.features)
    folder = dataset_folder(name) / "arrays"
    item_columns: dict[str, np.ndarray] = {}
    columns: dict[str, np.ndarray] = {}
    for position, feature in enumerate(schema):
        place = item_columns if feature.of_item else columns
        place[feature.name] = map_array(folder / _feature_file(position, feature.name))
    log = EventLog(
        schema=schema,
        indptr=map_array(folder / "indptr.npy"),
        columns=columns,
        item_columns=item_columns,
        timestamps=map_array(folder / "timestamps.npy"),
        written={name: _map_texts(folder, f"written-{name}") for name in manifest.written},
    )
    users, items = (IdMap(_map_texts(folder, which), checked=True) for which in ("users", "items"))
    catalog = Catalog(items, _map_texts(folder, "texts"), item_columns, manifest.text_source)
    wrong = any(
        (
            log.num_users != len(users),
            len(catalog) != schema.num_items,
            any(len(column) != log.num_events for column in (log.timestamps, *columns.values())),
            any(len(column) != len(catalog) + 1 for column in item_columns.values()),
            any(len(texts) != log.num_events for texts in log.written.values()),
        )
    )
    if wrong:
        raise ValueError("their lengths do not fit together")
    return Dataset(
        name=name,
        users=users,
        catalog=catalog,
        events=log,
        fingerprint=manifest.fingerprint,
        has_repeats=manifest.has_repeats,
        licence=manifest.licence,
        citation=manifest.citation,
        source=manifest.source,
        facts=manifest.facts,
        label_feature=manifest.label_feature,
        broken=manifest.counts,
        notes=manifest.notes,
    )


def write_dataset(dataset: Dataset, folder: Path, origin: Origin) -> Manifest:
    """Writes a data set into an empty folder; the manifest last, once all else is on the disk.

    Args:
        dataset: What to write.
        folder: Exists and is empty.
        origin: What it was made of.
    """
    from benchmark.data.store.parquet import write_tables

    log, catalog = dataset.events, dataset.catalog
    arrays = folder / "arrays"
    arrays.mkdir()
    contents = {"indptr.npy": log.indptr, "timestamps.npy": log.timestamps}
    for position, feature in enumerate(log.schema):
        column = (log.item_columns if feature.of_item else log.columns)[feature.name]
        contents[_feature_file(position, feature.name)] = column
    written = {
        "users": dataset.users.external_ids,
        "items": catalog.items.external_ids,
        "texts": catalog.texts,
        **{f"written-{name}": texts for name, texts in log.written.items()},
    }
    tasks = [partial(_write, arrays / file, array) for file, array in contents.items()]
    tasks += [partial(_write_texts, arrays, name, texts) for name, texts in written.items()]
    side_by_side([partial(write_tables, dataset, folder), *tasks])
    paths = [path for path in folder.rglob("*") if path.is_file()]
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        source=dataset.source,
        source_files=origin.source_files,
        source_names=origin.source_names,
        reader=origin.reader,
        code=origin.code,
        settings=origin.settings,
        counts=dict(dataset.broken),
        facts=dict(dataset.facts),
        has_repeats=dataset.has_repeats,
        label_feature=dataset.label_feature,
        text_source=catalog.text_source,
        licence=dataset.licence,
        citation=dataset.citation,
        notes=dataset.notes,
        features=log.schema.to_json(),
        written=tuple(log.written),
        files={path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(paths)},
        created=datetime.now(timezone.utc).isoformat(timespec="microseconds"),
        package_version=__version__,
    )
    # A crash of the machine must not leave a manifest beside arrays that were never written out.
    for path in (folder / "users.parquet", folder / "items.parquet", arrays):  # `_write` waits too
        sync(path)
    (folder / MANIFEST).write_text(manifest.model_dump_json(by_alias=True, indent=2) + "\n")
    sync(folder / MANIFEST)
    sync(folder)
    return manifest


def _feature_file(position: int, name: str) -> str:
    """A safe file name for a feature, which a user may have called anything."""
    return f"feature-{position:02d}-{re.sub(r'[^a-z0-9]+', '-', name.lower())[:40]}.npy"


def _map_texts(folder: Path, name: str) -> Texts:
    return Texts(map_array(folder / f"{name}-offsets.npy"), map_array(folder / f"{name}-bytes.npy"))


def _write_texts(folder: Path, name: str, texts: Sequence[str]) -> None:
    flat = texts if isinstance(texts, Texts) else Texts.of(texts)
    _write(folder / f"{name}-offsets.npy", flat.offsets - flat.offsets[0])
    _write(folder / f"{name}-bytes.npy", flat.joined)


def _write(path: Path, values: np.ndarray) -> None:
    """Writes an array; one that lies in a file is in memory a piece at a time."""
    write_array(path, values.shape, values.dtype, _taken_from(values))


def _taken_from(values: np.ndarray) -> Iterator[np.ndarray]:
    for begin in range(0, len(values), _ROWS_AT_ONCE):
        yield values[begin : begin + _ROWS_AT_ONCE]
        let_go([values])
