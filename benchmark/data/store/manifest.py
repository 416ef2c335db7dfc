"""What a prepared data set's `manifest.json` says. Nothing heavy is imported to read it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.errors import UserError
from benchmark.system import home

FORMAT_VERSION = 1
"""Of the folder; raised whenever what is written changes its form or meaning."""

MANIFEST = "manifest.json"

_NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]*(/[A-Za-z0-9_+-][A-Za-z0-9_.+-]*)?")


class SourceFile(BaseModel):
    """A publisher's file that a data set was made of.

    Attributes:
        name: Relative to the source that was given.
        bytes: Its size.
        sha256: Of its content.
        mtime_ns: When it was last changed, to tell at a glance that it was not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    bytes: int
    sha256: str
    mtime_ns: int


class Manifest(BaseModel):
    """What a prepared folder holds, and what it was made of.

    Attributes:
        format_version: See `FORMAT_VERSION`.
        name: The data set.
        fingerprint: See `Dataset`.
        source: Where the data came from, in a few words.
        source_files: The files that were read.
        source_names: Hash of the names of all files of the source.
        reader: `module:attribute` of what read them.
        code: Hash of the code that prepares.
        settings: What was left out, see `PrepareSettings`.
        counts: What was skipped or changed, by reason.
        facts: Counts of what is left.
        has_repeats: True where some user meets an item twice.
        label_feature: The item feature that `favorite_genre` asks about, "" where there is none.
        text_source: What the items' texts are, see `benchmark.types.TEXT_SOURCES`.
        licence: Under which terms the data may be used.
        citation: Whom to cite.
        notes: Lines that a reader of results should see.
        features: The event features, as `FeatureSchema.to_json` writes them; `schema` in the file.
        written: The fields that hold what users wrote.
        files: Bytes of every other file of the folder, by name.
        created: When it was made, UTC.
        package_version: By which version of this package.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    format_version: int
    name: str
    fingerprint: str
    source: str
    source_files: tuple[SourceFile, ...]
    source_names: str
    reader: str
    code: str
    settings: dict[str, Any]
    counts: dict[str, int]
    facts: dict[str, Any]
    has_repeats: bool
    label_feature: str
    text_source: str
    licence: str
    citation: str
    notes: tuple[str, ...]
    features: list[dict[str, Any]] = Field(alias="schema")
    written: tuple[str, ...]
    files: dict[str, int]
    created: str
    package_version: str


class _Version(BaseModel):
    """The part of every manifest, whatever its version."""

    format_version: int


def dataset_folder(name: str) -> Path:
    """Where a data set of this name is prepared, whether it is there or not.

    Raises:
        UserError: No data set can be called that.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name of a data set")
    return home.datasets_folder() / name


def read_manifest(name: str) -> Manifest | None:
    """The manifest of a prepared data set, None where it is not prepared.

    Raises:
        UserError: There is one, but it is broken or of another version.
    """
    path = dataset_folder(name) / MANIFEST
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise broken(name, f"{MANIFEST} cannot be read: {error.strerror or error}") from error
    try:
        version = _Version.model_validate_json(text).format_version
    except ValidationError as error:
        raise broken(name, f"{MANIFEST} is no manifest") from error
    if version != FORMAT_VERSION:
        age = "an older" if version < FORMAT_VERSION else "a newer"
        raise broken(name, f"it was prepared by {age} version of userllm-bench")
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise broken(name, f"{MANIFEST} is wrong at {place!r}") from error
    if manifest.name != name:
        raise broken(name, f"its {MANIFEST} is that of {manifest.name!r}")
    return manifest


def missing_file(name: str, manifest: Manifest) -> str:
    """A file that is not there or not of the size that the manifest says; "" where all are."""
    folder = dataset_folder(name)
    for file, size in manifest.files.items():
        try:
            if os.stat(folder / file).st_size != size:
                return file
        except OSError:
            return file
    return ""


def broken(name: str, reason: str) -> UserError:
    """The error for a prepared data set that cannot be used."""
    return UserError(
        f"data set {name!r} cannot be opened, {reason}: run `userllm-bench data prepare {name}`"
        " again"
    )
