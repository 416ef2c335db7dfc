"""Whether a prepared data set is still what was opened: a run is about one set of data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from benchmark.data.store.manifest import MANIFEST, Manifest, dataset_folder, read_manifest
from benchmark.data.store.store import open_dataset
from benchmark.errors import RunError, UserError

if TYPE_CHECKING:
    from benchmark.data.dataset import Dataset

_OF_MAKING = {
    "created", "package_version", "source_files", "source_names", "reader", "code", "files",
}  # fmt: skip
"""What a manifest says of how it was made: the same data may be made twice."""


class DataChangedError(RunError):
    """A prepared data set is no longer the one that was opened; the message says how."""


class Seal:
    """How a data set lay on the disk when it was opened.

    Sizes and times of its files are compared, which costs next to nothing; only where they differ,
    the data are hashed and compared with the fingerprint. Columns that follow from others (the
    gap) are in no fingerprint: who changes one of these by hand is not found out.

    Args:
        dataset: As it was opened.

    Raises:
        DataChangedError: Its files were changed after they were prepared.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._name = dataset.name
        self._fingerprint = dataset.fingerprint
        self._manifest = self._read()
        self._stamps = _stamps(self._name, self._manifest)
        written = self._stamps[MANIFEST][1]  # the manifest is written last
        if any(changed > written for _, changed, _ in self._stamps.values()):
            self._hash()

    def check(self) -> None:
        """Compares with what is on the disk now.

        Raises:
            DataChangedError: It is something else.
        """
        manifest = self._read()
        if _says(manifest) != _says(self._manifest):
            raise self._changed("its manifest says other things than when it was opened")
        stamps = _stamps(self._name, manifest)
        if stamps != self._stamps:
            self._hash()
            self._stamps = stamps

    def _read(self) -> Manifest:
        try:
            manifest = read_manifest(self._name)
        except UserError as error:
            raise self._changed(str(error)) from None
        if manifest is None:
            raise self._changed("it is gone")
        if manifest.fingerprint != self._fingerprint:
            raise self._changed(
                f"it was prepared anew, with the fingerprint {manifest.fingerprint[:12]} in place "
                f"of {self._fingerprint[:12]}"
            )
        return manifest

    def _hash(self) -> None:
        from benchmark.data.dataset import fingerprint

        try:
            now = open_dataset(self._name)
            found = fingerprint(now.catalog, now.events, now.users.external_ids)
        except (UserError, ValueError, IndexError) as error:
            raise self._changed(str(error)) from None
        if found != self._fingerprint:
            raise self._changed(
                f"its files hold other data (fingerprint {found[:12]}) than its manifest says "
                f"({self._fingerprint[:12]}); prepare it again"
            )

    def _changed(self, how: str) -> DataChangedError:
        return DataChangedError(
            f"the data set {self._name!r} changed on the disk: {how}. Finished cells are kept; the "
            "same command goes on with the data as they are then"
        )


def _stamps(name: str, manifest: Manifest) -> Mapping[str, tuple[int, int, int]]:
    """Size, time of the last change and place on the disk of every file; zeros where it is gone."""
    folder, found = dataset_folder(name), {}
    for file in (*manifest.files, MANIFEST):
        try:
            facts = os.stat(folder / file)
            found[file] = (facts.st_size, facts.st_mtime_ns, facts.st_ino)
        except OSError:
            found[file] = (0, 0, 0)
    return found


def _says(manifest: Manifest) -> dict[str, object]:
    return manifest.model_dump(exclude=_OF_MAKING)
