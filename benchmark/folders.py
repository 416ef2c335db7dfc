"""Folders that are there whole or not at all. Free of torch."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def in_place(folder: Path) -> Iterator[Path]:
    """A fresh folder that takes the place of `folder` when the block ends well."""
    prefix = f".tmp-{folder.name}-"
    for left_over in folder.parent.glob(f"{prefix}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        fresh.chmod(0o777 & ~_umask())
        yield fresh
        old = fresh.with_name(fresh.name + "-old")
        try:
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
        except BaseException:  # an interrupt between the two must not lose the old record
            if old.exists() and not folder.exists():
                old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
