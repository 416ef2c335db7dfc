"""Folders that are there whole or not at all. Free of torch.

Whoever writes one holds its lock: what lies beside its place is taken for that of a killed call.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmark.system.durable import sync, sync_tree

_OLD = "-old"


@contextlib.contextmanager
def in_place(folder: Path) -> Iterator[Path]:
    """A fresh folder that takes the place of `folder` when the block ends well."""
    recover(folder)
    fresh = Path(tempfile.mkdtemp(prefix=_prefix(folder), dir=folder.parent))
    try:
        fresh.chmod(0o777 & ~_umask())
        yield fresh
        sync_tree(fresh)
        old = fresh.with_name(fresh.name + _OLD)
        try:
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
        except BaseException:  # an interrupt between the two must not lose the old record
            if old.exists() and not folder.exists():
                old.rename(folder)
            raise
        sync(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def recover(folder: Path) -> None:
    """Clears up what a killed call left; one that was killed between two moves loses nothing."""
    # Eight characters of `tempfile`: a name that begins with this one is another's.
    own = re.compile(rf"{re.escape(_prefix(folder))}[a-z0-9_]{{8}}({_OLD})?")
    if not folder.parent.is_dir():
        return
    for path in folder.parent.iterdir():
        if own.fullmatch(path.name):
            if path.name.endswith(_OLD) and not folder.exists():
                path.rename(folder)
            else:
                shutil.rmtree(path, ignore_errors=True)


def _prefix(folder: Path) -> str:
    return f".tmp-{folder.name}-"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
