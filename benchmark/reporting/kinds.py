"""Which finished rows are comparisons, which ablations and which sweeps. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.axes.ablation import Axis, axis_names, read_axis
from benchmark.records.results import Row, comparison_group, variant
from benchmark.records.summary import latest_rows
from benchmark.reporting.reading import LeftOut

if TYPE_CHECKING:
    from benchmark.tables import Tables


@dataclass(frozen=True)
class Kinds:
    """Finished rows by what they were made for; of equal ones the one made last.

    A row of an ablation where every axis has its default is a row as any other, and stands in
    `main` too; so does one of a sweep whose method reads no history.

    Attributes:
        main: Of comparisons.
        ablated: Of ablations, with the axes as their records have them.
        swept: Of sweeps.
        axes: What ablations can vary, by name.
    """

    main: tuple[Row, ...]
    ablated: tuple[Row, ...]
    swept: tuple[Row, ...]
    axes: dict[str, Axis]


def sort_rows(rows: Sequence[Row], tables: Tables) -> tuple[Kinds, list[LeftOut]]:
    """Rows by what they were made for, and those that were made for something else."""
    axes = {name: read_axis(name, tables) for name in axis_names(tables)}
    main: list[Row] = []
    ablated: list[Row] = []
    swept: list[Row] = []
    left_out: list[LeftOut] = []
    for row in rows:
        if not row.axes:
            main.append(row)
        elif all(_number(value) for value in row.axes.values()):
            (swept if _reads_history(row.method, tables) else main).append(row)
        elif all(row.axes[name] in axes[name].values for name in row.axes if name in axes) and all(
            name in axes for name in row.axes
        ):
            ablated.append(row)
            if all(axes[name].default == value for name, value in row.axes.items()):
                main.append(row)
        else:
            told = ", ".join(f"{name}={value}" for name, value in row.axes.items())
            why = f"{told} is no value of an ablation or a sweep"
            left_out.append(LeftOut(str(row.path), why))
    kinds = Kinds(
        main=tuple(latest_rows([_plain(row) for row in main])),
        ablated=tuple(_latest(ablated)),
        swept=tuple(_latest(swept)),
        axes=axes,
    )
    return kinds, left_out


def _latest(rows: Iterable[Row]) -> list[Row]:
    """Of equal rows with equal axes the one made last, on whatever devices: that is told of all."""
    by_axes: dict[tuple[str, ...], dict[tuple[object, ...], Row]] = {}
    for row in rows:
        if row.record is None or not row.record.metrics:
            continue
        same = by_axes.setdefault(tuple(row.axes), {})
        settings = variant(row.record, devices=False)
        key = (comparison_group(row.record), row.method, settings, row.seed)
        other = same.get(key)
        if other is None or other.record is None or row.record.created >= other.record.created:
            same.pop(key, None)
            same[key] = row
    return [row for same in by_axes.values() for row in same.values()]


def _plain(row: Row) -> Row:
    return row.model_copy(update={"axes": {}}) if row.axes else row


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _reads_history(method: str, tables: Tables) -> bool:
    """Whether some length of history can be set; of methods that are not there, nobody knows."""
    if method not in tables.methods:
        return True
    entry = tables.methods[method]
    return bool(entry.length) or entry.uses_encoder
