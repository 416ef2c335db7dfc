"""What a crash must not halve: files that appear whole or not at all, and stay. Part of the kernel.

What is renamed before its content has reached the disk may be empty after a loss of power; so
content is waited for first, and the folder that holds the name after it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Where to write a file that takes the place of `target` when the block ends well.

    What a killed process left half-written there is written over. Of two that write one target at
    once one may fail: see `alone_in`.

    Raises:
        OSError: It cannot be written; `target` is as it was.
    """
    fresh = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield fresh
        sync(fresh)
        os.replace(fresh, target)
        sync(target.parent)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Waits until no other process does the same, for what takes seconds at most.

    The lock is one of the folder itself, so that none is left behind and it ends with its process.
    Where folders cannot be locked (Windows, some network file systems) nobody waits. It may not be
    held twice by one process.
    """
    handle = None
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def try_writing(folder: Path) -> None:
    """Makes a folder where it is missing, and in it a file that is gone at once.

    Raises:
        OSError: It cannot be done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def why_unwritable(folder: Path) -> str:
    """Why a folder may not be written, "" where it may; of a full disk it does not tell."""
    try:
        try_writing(folder)
    except OSError as error:
        return "" if error.errno in FULL_DISK else error.strerror or str(error)
    return ""


def sync(path: Path) -> None:
    """Waits until a file or a folder is on the disk, where the system can tell."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Waits until a folder and all that is below it are on the disk."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)
