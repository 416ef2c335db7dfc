"""Stages that several methods or runs share, stored once under a key of their content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import benchmark
from benchmark.errors import RunError, unkept
from benchmark.system import ranks
from benchmark.system.durable import sync_tree, why_unwritable
from benchmark.system.locking import locked
from benchmark.types import CurvePoint, StageReport
from userllm.progress import Silent
from userllm.training.rehearsal import open_rehearsal

_REPORT, _SUMS = "stage.json", "checksums.json"
_SILENT = Silent()
_PACKAGES = ("torch", "transformers", "tokenizers", "lightning")


def versions() -> dict[str, str]:
    """Versions of all that the result of a stage depends on, our own code first.

    Our own is read from the source: an installed package may say that of an earlier checkout.
    """
    return {"userllm-bench": benchmark.__version__, **{name: version(name) for name in _PACKAGES}}


def stage_key(name: str, **parts: Any) -> str:
    """A folder name that changes with everything the stage's result depends on.

    Versions and threads are part of it: under others the same seed gives other numbers.
    """
    machine = {**versions(), "threads": str(torch.get_num_threads())}
    text = json.dumps({**machine, **parts}, sort_keys=True, default=str)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"


def cached_stage(
    cache: Path,
    key: str,
    build: Callable[[Path], StageReport],
    tell: Callable[[str], None] = _SILENT.note,
) -> tuple[Path, StageReport]:
    """Returns a finished stage's folder and report; builds it where there is none.

    The folder appears whole or not at all: it is written beside its place and renamed. Of several
    processes that need it one builds it and the others wait; where that one dies, the next does.
    A stage whose files are not as they were written is built again.

    Args:
        cache: Folder of all stages.
        key: From `stage_key`.
        build: Writes the stage's files into a folder and returns its report.
        tell: Is told where another process is waited for.

    Raises:
        UserError: There is none, and the folder may not be written.
    """
    place = cache / key
    rehearsal = open_rehearsal()
    if rehearsal is not None:
        if _read(place) is not None:
            rehearsal.found.append(cache != rehearsal.scratch)
        elif cache != rehearsal.scratch:
            return cached_stage(rehearsal.scratch, key, build, tell)
    found = _found(place)
    if found is not None:
        return place, replace(found, reused=True)
    reason = ranks.agreed(why_unwritable(cache) if ranks.first() else "")
    if reason:
        raise unkept(f"the stage {key}", cache, reason)
    began: list[float] = []

    def wait(text: str) -> None:
        began.append(time.perf_counter())
        tell(text)

    with _held(cache, key, wait):
        waited = time.perf_counter() - began[0] if began else 0.0
        found = _found(place)
        if found is not None:
            return place, replace(found, reused=True, waited_seconds=waited)
        return place, replace(_built(place, build), waited_seconds=waited)


@contextlib.contextmanager
def _held(cache: Path, key: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Holds the lock of a stage, process zero for all that train together."""
    if not ranks.first():
        yield
        return
    with locked(cache, key, tell, "another cell makes this stage too; waiting for it"):
        yield


def _found(place: Path) -> StageReport | None:
    """The report of a finished stage, as all that train together find it."""
    found = _read(place)
    if not ranks.agreed(found is not None):
        return None
    if found is None:
        raise RunError(f"process zero finds {place}: it is to be in a folder that all share")
    return found


def _built(place: Path, build: Callable[[Path], StageReport]) -> StageReport:
    """Builds a stage and puts it in its place; its lock is held.

    Of several processes that build it together, one keeps what came out.
    """
    if ranks.first():
        for left_over in place.parent.glob(f".{place.name}-*"):
            shutil.rmtree(left_over, ignore_errors=True)
    beside = place.parent if ranks.first() else None
    work = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=beside))
    try:
        report = build(work)
        ranks.by_first(lambda: _put_in_place(work, place, report))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report


def _put_in_place(work: Path, place: Path, report: StageReport) -> None:
    (work / _SUMS).write_text(json.dumps(_sums(work)))
    (work / _REPORT).write_text(json.dumps(asdict(report)))
    sync_tree(work)
    shutil.rmtree(place, ignore_errors=True)  # broken, or it would have been read
    work.rename(place)


def _sums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder."""
    sums = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in (_SUMS, _REPORT):
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while piece := file.read(2**20):
                    digest.update(piece)
            sums[name] = digest.hexdigest()
    return sums


def _read(place: Path) -> StageReport | None:
    """The report of a stage that is there; None where it is not, or not as it was written."""
    try:
        sums = place / _SUMS
        # Older versions kept none.
        if sums.exists() and json.loads(sums.read_text()) != _sums(place):
            return None
        fields: Mapping[str, Any] = json.loads((place / _REPORT).read_text())
        curve = tuple(CurvePoint(**point) for point in fields["curve"])
        return StageReport(**{**fields, "curve": curve})
    except (OSError, ValueError, TypeError, KeyError):
        return None
