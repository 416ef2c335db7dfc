"""`userllm-bench list`. Plain text, so that other programs can read it; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmark.data.store.ready import Ready, how_to_prepare, ready, ready_members
from benchmark.entries import DatasetEntry
from benchmark.errors import UserError, unknown
from benchmark.registry import Registry
from benchmark.tables import Tables, default_tables, why_unavailable

TABLES = (
    "datasets", "tasks", "methods", "encoders", "metrics", "settings", "presets", "ablations",
    "splits",
)  # fmt: skip


def list_command(table: str | None, name: str | None, tables: Tables | None) -> None:
    """Prints one table, a line an entry.

    Args:
        table: One of `TABLES`; None = not said, which is refused.
        name: With `settings`, the only method or task to show.
        tables: What can be named; the project's own where None.
    """
    if table is None:
        *others, last = TABLES
        raise UserError(f"list which table? {', '.join(others)} or {last}")
    if table not in TABLES:
        raise unknown("table", table, TABLES)
    if name is not None and table != "settings":
        raise UserError(f"list {table} takes no further argument, got {name!r}")
    tables = tables or default_tables()
    if table == "settings":
        lines = _settings(tables, name)
    elif table == "presets":
        lines = _presets(tables)
    elif table == "ablations":
        lines = _ablations(tables)
    elif table == "datasets":
        lines = _datasets(tables.datasets)
    else:
        lines = _entries(getattr(tables, table))
    widths = [max((len(line[i]) for line in lines), default=0) for i in range(2)]
    for first, second, third in lines:
        print(f"{first:{widths[0]}}  {second:{widths[1]}}  {third}".rstrip())


def _entries(
    registry: Registry[Any], names: Iterable[str] | None = None
) -> list[tuple[str, str, str]]:
    """Some entries of a table, or all of them."""
    lines = []
    for name in registry if names is None else names:
        reason = why_unavailable(registry[name])
        summary = registry[name].summary
        state = "unavailable" if reason else "available"
        lines.append((name, state, f"{summary}: {reason}" if reason else summary))
    return lines


def _datasets(registry: Registry[DatasetEntry]) -> list[tuple[str, str, str]]:
    """Families stand once, followed by those members of theirs that are prepared."""
    lines = []
    for name in registry:
        entry = registry[name]
        if entry.embedded or why_unavailable(entry):
            lines += _entries(registry, [name])
            continue
        members = ready_members(name) if entry.part else [ready(name)]
        found = [member for member in members if member is not None]
        if entry.part or not found:
            label = name.replace("*", entry.part.upper()) if entry.part else name
            state = f"{len(found)} prepared" if found else "not prepared"
            lines.append((name, state, f"{entry.summary}: {how_to_prepare(label, entry)}"))
        lines += [_ready(member, entry) for member in found]
    return lines


def _ready(member: Ready, entry: DatasetEntry) -> tuple[str, str, str]:
    if member.broken:
        return member.name, "broken", member.summary
    return member.name, "available", f"{entry.summary} ({member.summary})"


def _presets(tables: Tables) -> list[tuple[str, str, str]]:
    from benchmark.config import read_preset

    presets = {name: read_preset(name, tables) for name in tables.preset_names}
    return [
        (name, "available", "; ".join(filter(None, (preset.description, preset.warning))))
        for name, preset in presets.items()
    ]


def _ablations(tables: Tables) -> list[tuple[str, str, str]]:
    from benchmark.axes.ablation import axis_names, read_axis

    lines = []
    for name in axis_names(tables):
        axis = read_axis(name, tables)
        _, *others = axis.ordered
        values = ", ".join([f"{axis.default} (default)", *others])
        lines.append((name, "available", f"{axis.description}: {values}"))
    return lines


def _settings(tables: Tables, name: str | None) -> list[tuple[str, str, str]]:
    from benchmark.settings import describe_fields

    if name is not None:
        sections = [name]
    else:
        own = (tables.section(method) for method in tables.methods)
        sections = list(dict.fromkeys([*tables.tasks, *own, *tables.encoders, *tables.splits]))
    return [
        (f"{section}.{field}", default, description)
        for section in sections
        for field, default, description in describe_fields(tables.settings_model(section))
    ]
