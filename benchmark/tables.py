"""All tables in one object, so that a test can hand over its own."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from benchmark.cost.config import SECTION
from benchmark.entries import DatasetEntry, EncoderEntry, MethodEntry, SplitEntry, TaskEntry
from benchmark.errors import UserError, unknown
from benchmark.registry import Entry, Registry, load

if TYPE_CHECKING:
    from pydantic import BaseModel

PRESETS = Path(__file__).parent / "configs" / "presets"
ABLATIONS = Path(__file__).parent / "configs" / "ablations"
SPACES = Path(__file__).parent / "configs" / "spaces"


_PART = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]*")
"""What a family's member may be called: it becomes a folder's name."""


@dataclass(frozen=True)
class Tables:
    """Everything that a run can name.

    Attributes:
        datasets: Data sets.
        splits: Ways to take test and validation targets away.
        tasks: Tasks.
        methods: Methods.
        metrics: Metrics.
        presets: Folder of the presets, one YAML file each.
        ablations: Folder of the axes that `ablate` knows, one YAML file each.
        encoders: What can stand in the encoder slot of a method.
        spaces: Folder of what `tune` searches, one YAML file a section of settings.
        made_by: `module:attribute` of the function that makes these tables in another process.
    """

    datasets: Registry[DatasetEntry]
    splits: Registry[SplitEntry]
    tasks: Registry[TaskEntry]
    methods: Registry[MethodEntry]
    metrics: Registry[Entry]
    presets: Path = PRESETS
    ablations: Path = ABLATIONS
    encoders: Registry[EncoderEntry] = field(default_factory=lambda: Registry("encoder"))
    spaces: Path = SPACES
    made_by: str = "benchmark.tables:default_tables"

    def dataset(self, name: str) -> DatasetEntry:
        """The entry of a data set, or of the family that it belongs to.

        Raises:
            UserError: There is neither.
        """
        if name in self.datasets:
            return self.datasets[name]
        family, _, part = name.partition("/")
        if f"{family}/*" not in self.datasets:
            raise unknown("data set", name, self.datasets)
        entry = self.datasets[f"{family}/*"]
        if not _PART.fullmatch(part):
            raise UserError(
                f"data set {name!r}: write {family}/<{entry.part}>, of letters, digits and _ . + -"
            )
        return entry

    @property
    def preset_names(self) -> list[str]:
        """Names of the presets."""
        return sorted(path.stem for path in self.presets.glob("*.yaml"))

    def section(self, method: str) -> str:
        """The name under which a method takes settings that it shares with others."""
        return self.methods[method].section or method

    @property
    def sections(self) -> dict[str, str]:
        """Every name that settings can be given for, and the settings model `module:Model`."""
        found = {name: self.tasks[name].settings for name in self.tasks}
        for name in self.methods:
            entry = self.methods[name]
            found.setdefault(entry.section or name, entry.settings)
            found.setdefault(name, entry.settings)
        for name in self.encoders:
            found.setdefault(name, self.encoders[name].settings)
        for name in self.splits:
            found[name] = self.splits[name].settings
        found[SECTION] = "benchmark.cost.config:CostSettings"
        return found

    def settings_model(self, section: str) -> type[BaseModel]:
        """The settings model of a section."""
        sections = self.sections
        if section not in sections:
            raise unknown("method, task or split", section, sections)
        return cast("type[BaseModel]", load(sections[section]))


def default_tables() -> Tables:
    """The project's own tables."""
    from benchmark import datasets, registrations

    return Tables(
        datasets=datasets.DATASETS,
        splits=registrations.SPLITS,
        tasks=registrations.TASKS,
        methods=registrations.METHODS,
        metrics=registrations.METRICS,
        encoders=registrations.ENCODERS,
    )


def why_unavailable(entry: Entry) -> str:
    """Why an entry cannot be used here, "" where it can. Imports nothing."""
    if entry.unavailable:
        return entry.unavailable
    missing = [name for name in entry.requires if not _importable(name)]
    if missing:
        hint = f": {entry.install}" if entry.install else ""
        return f"needs {', '.join(missing)}, which is not installed{hint}"
    return ""


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
