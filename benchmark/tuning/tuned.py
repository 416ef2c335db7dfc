"""The file of a data set and task: settings that were found, which `run --config` takes, and how.

Its sections are made anew from what it says under `tuning` whenever a method is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmark.config import TUNING, Layers, read_preset
from benchmark.errors import UserError
from benchmark.settings import flatten, nest, parse_yaml
from benchmark.system.durable import whole_file
from benchmark.tables import Tables

Entries = dict[str, dict[str, Any]]
"""Method → what is kept of its search; `settings` is what somebody or the search changed."""
_SHARED = ("task", "dataset", "split", "preset", "seen")
"""Options of `run` that a file gives too, where all of its methods were tuned with the same."""
_HEADER = """\
# Made by `userllm-bench tune`: settings chosen by validation targets, for
# `userllm-bench run --config`. What stands under `tuning` says how they were found.
"""


def read_tuned(path: Path) -> Entries:
    """What a file says of its methods; nothing where there is none.

    Raises:
        UserError: It is no such file.
    """
    if not path.exists():
        return {}
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    entries = values.get(TUNING) if isinstance(values, dict) else None
    if not isinstance(entries, dict) or not all(map(_of_a_search, entries.values())):
        raise UserError(f"{path} was not made by userllm-bench tune: name another folder (--out)")
    return dict(entries)


def _of_a_search(entry: object) -> bool:
    needed = {*_SHARED, "settings", "seconds", "space", "history"}
    return isinstance(entry, dict) and needed <= {*entry}


def write_tuned(path: Path, entries: Entries, tables: Tables) -> None:
    """Writes a file in one step."""
    shared = {
        key: values[0]
        for key in _SHARED
        if len(values := list({own[key] for own in entries.values()})) == 1
    }
    sections = {name: nest(own) for name, own in _sections(entries, tables).items() if own}
    text = _HEADER + yaml.dump(
        {**shared, **sections, TUNING: {name: _lined(own) for name, own in entries.items()}},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=10_000,
    )
    with whole_file(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


def _sections(entries: Entries, tables: Tables) -> Entries:
    """What each method is to be given, dotted.

    Several rows may read one section. What was found for the row that has its name is not to reach
    the others, so they say their own value of it.
    """
    sections: Entries = {}
    for name, entry in entries.items():
        given = dict(entry["settings"])
        owner = entries.get(tables.section(name), entry)
        if owner is not entry:
            preset = read_preset(entry["preset"], tables).settings
            own = Layers(preset, {}, {name: nest(given)}).resolve(tables, name)
            whole = flatten(own.model_dump(mode="json"))
            given |= {field: whole[field] for field in owner["settings"] if field in whole}
            given = {
                f: v for f, v in given.items() if f not in flatten(tables.methods[name].overrides)
            }
        sections[name] = given
    return sections


@dataclass(frozen=True)
class Below:
    """What a method stands on that has an encoder in its slot.

    Attributes:
        settings: What a file changes of the encoder, dotted, by the encoder's name; empty for a
            method without a slot.
        seconds: Of the search that found it; they count as the method's own.
    """

    settings: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0


def standing_on(encoder: str, entries: Entries) -> Below:
    """What a file says of an encoder, and so of every method that has it in its slot."""
    entry = entries.get(encoder, {"settings": {}, "seconds": 0.0})
    return Below({encoder: dict(entry["settings"])}, entry["seconds"])


def outdated(entries: Entries) -> list[str]:
    """One line about each method whose encoder was tuned again after it."""
    lines = []
    for name, entry in entries.items():
        for encoder, settings in entry.get("encoder", {}).items():
            if standing_on(encoder, entries).settings[encoder] != settings:
                lines.append(
                    f"{name} was tuned on other settings of {encoder} than stand here now: tune it "
                    "again with --force"
                )
    return lines


class _Line(dict[str, Any]):
    """A mapping on one line."""


class _Dumper(yaml.SafeDumper):
    """YAML that is read by people: some mappings stand on one line, none is an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    _Line,
    lambda dumper, line: dumper.represent_mapping("tag:yaml.org,2002:map", line, flow_style=True),
)


def _lined(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry whose dimensions and trials stand on a line each."""
    space = {
        name: _Line(own) if isinstance(own, Mapping) else _Line({"choices": own})
        for name, own in entry["space"].items()
    }
    return {**entry, "space": space, "history": [_Line(own) for own in entry["history"]]}
