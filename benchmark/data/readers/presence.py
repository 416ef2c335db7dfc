"""Whether a source holds a file that is not a must."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from benchmark.data.files.archives import members


def is_there(source: Path, names: Sequence[str]) -> bool:
    """Whether one of some file names stands for a file of a source, plain or gz.

    Args:
        source: A file, an archive or a folder.
        names: Names as `benchmark.data.files.archives.open_member` takes them, without folders.
    """
    there = [PurePosixPath(name).name.lower().removesuffix(".gz") for name in members(source)]
    return any(fnmatch.filter(there, name.lower()) for name in names)
