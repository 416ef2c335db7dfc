"""What must hold of the folders of a run: after every kill, and at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_TIMES = {
    "command", "cost", "created", "evaluation_seconds", "fit_seconds", "git", "latency_seconds",
    "log", "path", "peak_memory_bytes", "record_path", "reused", "seconds", "training_seconds",
    "wall_seconds",
}  # fmt: skip
"""What a broken run may say otherwise than an unbroken one: times, what hangs on the cache, and
whether somebody committed in between."""
_LOCKS = ".locks"


def half_written(folder: Path) -> list[str]:
    """Files that a reader would take for whole and that are not."""
    problems = []
    for path in _visible(folder):
        try:
            _parse(path)
        except Exception as error:  # A damaged file may fail in any way.
            problems.append(f"{path.relative_to(folder)} is broken: {error!r}")
    return problems


def left_over(folder: Path) -> list[str]:
    """Hidden and temporary files, beside locks."""
    names = (path.relative_to(folder) for path in sorted(folder.rglob("*")))
    return [
        f"{name} is left over"
        for name in names
        if _LOCKS not in name.parts
        and (any(part.startswith(".") for part in name.parts) or name.suffix in (".tmp", ".lock"))
    ]


def blocking_locks(folder: Path) -> list[str]:
    """Locks that nobody can hold any more and that are held."""
    from filelock import FileLock, Timeout

    problems = []
    for path in folder.rglob(f"{_LOCKS}/**/*.lock"):
        try:
            FileLock(path).acquire(timeout=0).lock.release()
        except Timeout:
            problems.append(f"{path.relative_to(folder)} is held")
    return problems


def outcome(folder: Path, stdout: Path) -> dict[str, Any]:
    """What a run came to, without its times: what it printed, its records and examples."""
    printed = json.loads(stdout.read_text().replace(str(folder), "..."))
    found: dict[str, Any] = {"printed": _timeless(printed)}
    for path in _visible(folder / "out"):
        name = str(path.relative_to(folder))
        if path.name == "record.json":
            found[name] = _timeless(json.loads(path.read_text()))
        elif path.suffix == ".parquet":
            import polars as pl

            found[name] = pl.read_parquet(path).to_dict(as_series=False)
    return found


def differences(whole: object, broken: object, where: str = "") -> list[str]:
    """Where two outcomes are not the same."""
    if isinstance(whole, dict) and isinstance(broken, dict):
        return [
            line
            for name in sorted({*whole, *broken})
            for line in differences(whole.get(name), broken.get(name), f"{where} {name}")
        ]
    same = json.dumps(whole, default=str) == json.dumps(broken, default=str)
    return [] if same else [f"{where}: {str(broken)[:60]} is not {str(whole)[:60]}"]


def _visible(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path


def _parse(path: Path) -> None:
    if path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".parquet":
        import polars as pl

        pl.read_parquet(path)
    elif path.suffix == ".safetensors":
        from safetensors.torch import load_file

        load_file(path)
    elif path.suffix == ".yaml":
        from benchmark.settings import parse_yaml

        parse_yaml(path.read_text(), str(path))
    elif path.suffix == ".png":
        from matplotlib.image import imread

        imread(path)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: _timeless(own) for name, own in value.items() if name not in _TIMES}
        # A point of a curve is seconds, step and value.
        return (
            kept | {"curve": [point[1:] for point in value["curve"]]} if "curve" in kept else kept
        )
    if isinstance(value, list):
        return [_timeless(own) for own in value]
    return value
