"""Half the batch and twice the accumulation, for a cell that memory did not suffice for."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmark.runs.plan import Cell
from benchmark.settings import build, flatten, merge, nest
from benchmark.system.durable import whole_file
from benchmark.types import Progress

_SIZES = ("batch_size", "batch_targets", "windows")
"""Fields of settings that say how much a batch holds."""
_ACCUMULATE = "accumulate"
_FILE = "smaller_batches.json"


@dataclass(frozen=True)
class Smaller:
    """Changes of settings, after which a step learns from as much as before, in more batches.

    Attributes:
        changes: Setting, dotted with its section → value before and value after; none where
            nothing can be made smaller.
    """

    changes: Mapping[str, tuple[int, int]]

    @property
    def told(self) -> str:
        """The changes as a person reads them."""
        changes = [f"{name}={after} ({before})" for name, (before, after) in self.changes.items()]
        return f"smaller batches, {', '.join(changes)},"

    @property
    def budget(self) -> dict[str, Any]:
        """What a record's budget says of them."""
        return {"smaller_batches": {name: list(pair) for name, pair in self.changes.items()}}

    def applied(self, cell: Cell) -> Cell:
        """The cell with these settings; what it is called and where it goes stay as asked for."""
        values = nest({name: after for name, (_, after) in self.changes.items()})
        method = merge(_plain(cell.method_settings), values.get(cell.method_name, {}))
        settings = build(type(cell.method_settings), method, cell.method_name)
        encoder = cell.encoder
        if encoder is not None:
            own = merge(_plain(encoder.settings), values.get(encoder.name, {}))
            encoder = replace(encoder, settings=build(type(encoder.settings), own, encoder.name))
        return replace(cell, method=lambda: cell.method(settings), encoder=encoder)

    def write(self, folder: Path) -> None:
        """Remembers the changes beside a cell's checkpoints, which belong to them."""
        with whole_file(folder / _FILE) as fresh:
            fresh.write_text(json.dumps(dict(self.changes)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path, cell: Cell) -> Smaller:
        """What an unfinished cell was changed to; nothing where it was not, or cannot be read."""
        try:
            found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
            changes = {str(name): (int(pair[0]), int(pair[1])) for name, pair in found.items()}
        except (OSError, ValueError, TypeError, AttributeError, IndexError, KeyError):
            return cls({})
        return cls(changes if changes.keys() <= _settings(cell).keys() else {})


class Heard:
    """Progress that is handed on, and remembers which stage began last.

    Args:
        progress: Is told what is heard.

    Attributes:
        last: Name of the stage; "" before the first.
        in_slot: Whether it belongs to what stands in the encoder slot.
    """

    def __init__(self, progress: Progress) -> None:
        self.last = ""
        self.in_slot = False
        self._progress = progress
        self.update, self.note = progress.update, progress.note

    def stage(self, name: str, total_epochs: float | None = None) -> None:
        """See `benchmark.types.Progress`."""
        self.last = name
        self._progress.stage(name, total_epochs)


def halved(cell: Cell, heard: Heard) -> Smaller:
    """Smaller batches of the stage that began last; other stages keep theirs."""
    if heard.in_slot and cell.encoder is not None:
        section, settings = cell.encoder.name, _plain(cell.encoder.settings)
    else:
        section, settings = cell.method_name, _plain(cell.method_settings)
    groups = list(_groups(settings))
    # A stage has the name of the section of its settings, or its optimizer is that of all.
    named = [group for group in groups if any(_names(part, heard.last) for part in group.path)]
    chosen = named or [group for group in groups if not group.optimizers_path]
    changes: dict[str, tuple[int, int]] = {}
    for group in chosen:
        for name, value in {**group.halves, **group.doubles}.items():
            changes[f"{section}.{name}"] = value
    return Smaller(changes)


@dataclass(frozen=True)
class _Group:
    """Sizes of a batch, and the optimizers that gather its gradients."""

    path: tuple[str, ...]
    optimizers_path: tuple[str, ...]
    halves: Mapping[str, tuple[int, int]]
    doubles: Mapping[str, tuple[int, int]]


def _groups(settings: Mapping[str, Any]) -> Iterator[_Group]:
    """Every mapping of nested settings that says how much a batch holds."""

    def walk(
        own: Mapping[str, Any], path: tuple[str, ...], above: Mapping[str, Any]
    ) -> Iterator[_Group]:
        sizes = {name: own[name] for name in _SIZES if isinstance(own.get(name), int)}
        halves = {_dotted(path, n): (v, v // 2) for n, v in sizes.items() if v > 1}
        inside = _optimizers(own)
        place, found = (path, inside) if inside else (path[:-1], _optimizers(above))
        doubles = {
            _dotted(place, name, _ACCUMULATE): (times, 2 * times) for name, times in found.items()
        }
        if halves and doubles:
            yield _Group(path, place, halves, doubles)
        for name, value in own.items():
            if isinstance(value, Mapping):
                yield from walk(value, (*path, name), own)

    yield from walk(settings, (), {})


def _optimizers(settings: Mapping[str, Any]) -> dict[str, int]:
    """Batches a step of every optimizer that stands right in some settings."""
    return {
        name: value[_ACCUMULATE]
        for name, value in settings.items()
        if isinstance(value, Mapping) and isinstance(value.get(_ACCUMULATE), int)
    }


def _names(part: str, stage: str) -> bool:
    return stage == part or stage.startswith(f"{part}_")


def _dotted(path: tuple[str, ...], *names: str) -> str:
    return ".".join((*path, *names))


def _plain(settings: Any) -> dict[str, Any]:
    plain: dict[str, Any] = settings.model_dump(mode="json")
    return plain


def _settings(cell: Cell) -> dict[str, Any]:
    """Every setting of a cell, dotted with its section."""
    named = {cell.method_name: _plain(cell.method_settings)}
    if cell.encoder is not None:
        named[cell.encoder.name] = _plain(cell.encoder.settings)
    return flatten(named)


def release_memory() -> None:
    """Gives back what nothing refers to any more; a failed fit leaves cycles behind."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
